"""How long does it take to get one value?"""

from __future__ import annotations

import pytest

from bench.engine.loaded import LoadedEngines
from bench.engines import ENGINES, EngineKind
from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, sample, value_of


@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: kind.name)
def test_get(record: Recorder, loaded: LoadedEngines, scale: Scale, kind: EngineKind) -> None:
    engine = loaded.get(kind)
    numbers = sample("uniform", scale.engine_keys, scale.engine_operations, seed=1)
    keys = [key_of(number) for number in numbers]

    def get_all() -> None:
        get = engine.get
        for key in keys:
            get(key)

    record.operations(get_all, count=len(keys), system=kind.name)
    assert [engine.get(key) for key in keys] == [value_of(number) for number in numbers]
