"""What does a diff cost by what changed, and by how many keys there are?"""

from __future__ import annotations

import contextlib

import pytest

from bench.engine.killed import GrownStores
from bench.engines.rundlet_engine import RundletEngine, open_engine
from bench.recorder import Recorder
from bench.scale import chosen_scale
from bench.workload import key_of, sample, value_of
from rundlet_server.storage.past.differences import differences, moment_of

_CHANGES = (100, 1_000)
_DIFFS = 10


@pytest.mark.parametrize("changes", _CHANGES)
@pytest.mark.parametrize("key_count", chosen_scale().key_counts)
def test_diff(record: Recorder, grown: GrownStores, key_count: int, changes: int) -> None:
    with contextlib.closing(open_engine(grown.folder(key_count), "never")) as engine:
        before = moment_of(engine.store)
        changed = _change(engine, key_count, changes)
        after = moment_of(engine.store)

        def compare() -> None:
            for _ in range(_DIFFS):
                page = differences(engine.store, before, after, limit=changes)
                assert {difference.key for difference in page.found} == changed

        case = f"{changes:,} changes, {key_count:,} keys"
        record.operations(compare, count=_DIFFS, system="rundlet", case=case)


def _change(engine: RundletEngine, key_count: int, changes: int) -> set[str]:
    """Write as many keys anew, in a commit each; return them."""
    numbers = list(dict.fromkeys(sample("uniform", key_count, 4 * changes, seed=5)))[:changes]
    for number in numbers:
        engine.put(key_of(number), value_of(number))
    return {key_of(number) for number in numbers}
