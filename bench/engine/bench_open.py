"""How long does a store take after ``kill -9`` to return its first value, by number of keys?

Only the work of the store counts, in a process that has loaded its modules; the files are in the
page cache. Before every kill the process writes some 200 keys.
"""

from __future__ import annotations

import pytest

from bench.engine.killed import GrownStores, run_and_kill
from bench.engines import OURS
from bench.recorder import Recorder
from bench.scale import chosen_scale

_KEYS_BEFORE_KILL = 200


@pytest.mark.parametrize("key_count", chosen_scale().key_counts)
def test_open(record: Recorder, grown: GrownStores, key_count: int) -> None:
    folder = grown.folder(key_count)

    record.figures(
        lambda: run_and_kill("reopen", folder, _KEYS_BEFORE_KILL),
        system=OURS.name,
        case=f"{key_count:,} keys",
    )
