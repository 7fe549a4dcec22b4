"""How long does it take, per value, to put many values in batches of the engine's own size?

Rundlet commits 1,000 values at a time; LMDB and SQLite commit all in one transaction.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engines import ENGINES, EngineKind
from bench.engines.checked import puts_that_are_read_back
from bench.recorder import Recorder
from bench.scale import Scale


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if kind.policies], ids=lambda k: k.name)
def test_put_batch(record: Recorder, folder: Path, scale: Scale, kind: EngineKind) -> None:
    count = scale.engine_operations
    with puts_that_are_read_back(kind.open(folder / "data", "never")) as puts:
        record.operations(
            puts.all_at_once,
            prepare=lambda: puts.prepare(count),
            count=count,
            system=kind.name,
            case="sync=never",
        )
