"""What the tests of the command line share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models.model import Clock, ModelStore
from tests.support.processes.command_line import Place
from tests.support.wire.served_model import served


@pytest.fixture(params=["url", "data"])
def place(request, tmp_path: Path) -> Iterator[Place]:
    if request.param == "data":
        yield Place(("--data", str(tmp_path / "store")))
        return
    with served(ModelStore(Clock(time.time_ns() // 1_000))) as url:
        yield Place(("--url", url))
