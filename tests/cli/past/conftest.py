"""A server or a folder whose clock runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.clock import system_clock_us
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place
from tests.support.wire.served_model import served


@pytest.fixture(params=["url", "data"])
def place(request, tmp_path: Path) -> Iterator[Place]:
    if request.param == "data":
        yield Place(("--data", str(tmp_path / "store")))
        return
    with served(ModelStore(system_clock_us)) as url:
        yield Place(("--url", url))
