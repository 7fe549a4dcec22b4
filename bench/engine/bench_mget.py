"""How long does it take, per value, to get a hundred values of one snapshot?"""

from __future__ import annotations

import pytest

from bench.engine.loaded import LoadedEngines
from bench.engines import ENGINES, EngineKind
from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, sample, value_of

_KEYS_A_CALL = 100


@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: kind.name)
def test_mget(record: Recorder, loaded: LoadedEngines, scale: Scale, kind: EngineKind) -> None:
    engine = loaded.get(kind)
    numbers = sample("uniform", scale.engine_keys, scale.engine_operations, seed=2)
    keys = [key_of(number) for number in numbers]
    calls = [keys[start : start + _KEYS_A_CALL] for start in range(0, len(keys), _KEYS_A_CALL)]

    def get_all() -> None:
        for call in calls:
            engine.get_all(call)

    record.operations(get_all, count=len(keys), system=kind.name)
    assert engine.get_all(keys) == [value_of(number) for number in numbers]
