"""How long does it take, per key, to list keys in order, with values and without, 1,000 a page?"""

from __future__ import annotations

import pytest

from bench.engine.loaded import LoadedEngines
from bench.engines import ENGINES, EngineKind, OrderedEngine
from bench.recorder import Recorder
from bench.scale import Scale

_PAGE_KEYS = 1_000
_STARTS = "0123456789abcde"  # with these starts most pages are full


@pytest.mark.parametrize(
    "kind", [kind for kind in ENGINES if kind.is_ordered], ids=lambda k: k.name
)
@pytest.mark.parametrize("case", ["with values", "keys only"])
def test_scan(
    record: Recorder, loaded: LoadedEngines, scale: Scale, case: str, kind: EngineKind
) -> None:
    engine = loaded.get(kind)
    assert isinstance(engine, OrderedEngine)
    page_keys = min(_PAGE_KEYS, scale.engine_keys // 100)
    assert [key for key, _ in engine.scan("0", page_keys)] == engine.list_keys("0", page_keys)
    assert len(engine.list_keys("0", page_keys)) == page_keys
    scan = engine.scan if case == "with values" else engine.list_keys

    def scan_pages() -> None:
        for start in _STARTS:
            scan(start, page_keys)

    record.operations(scan_pages, count=page_keys * len(_STARTS), system=kind.name, case=case)
