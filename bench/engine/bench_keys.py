"""How does the number of keys affect the cost of an operation?"""

from __future__ import annotations

import contextlib

import pytest

from bench.engine.killed import GrownStores
from bench.engines import OURS, OURS_UNCACHED
from bench.recorder import Recorder
from bench.scale import Scale, chosen_scale
from bench.workload import key_of, sample, value_of


@pytest.mark.parametrize("key_count", chosen_scale().key_counts)
def test_get_by_keys(record: Recorder, grown: GrownStores, scale: Scale, key_count: int) -> None:
    numbers = sample("uniform", key_count, scale.engine_operations, seed=3)
    keys = [key_of(number) for number in numbers]
    with contextlib.closing(OURS_UNCACHED.open(grown.folder(key_count), "never")) as engine:

        def get_all() -> None:
            for key in keys:
                engine.get(key)

        record.operations(
            get_all, count=len(keys), system=f"{OURS.name}, get", case=f"{key_count:,} keys"
        )
        for number in numbers[:100]:
            assert engine.get(key_of(number)) == value_of(number)


@pytest.mark.parametrize("key_count", chosen_scale().key_counts)
def test_put_by_keys(record: Recorder, grown: GrownStores, scale: Scale, key_count: int) -> None:
    count = scale.engine_operations
    rows = [(key_of(number), value_of(number)) for number in sample("uniform", key_count, count, 4)]
    with contextlib.closing(OURS.open(grown.folder(key_count), "never")) as engine:

        def put_all() -> None:
            for key, value in rows:
                engine.put(key, value)

        record.operations(
            put_all, count=count, system=f"{OURS.name}, put", case=f"{key_count:,} keys"
        )
        for key, value in rows:
            assert engine.get(key) == value
