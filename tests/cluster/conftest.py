"""Three nodes of etcd for each test, and the figures that the tests tell at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.processes.etcd import EtcdCluster

_TOLD: Final[list[str]] = []


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a figure at the end of the run."""
    return lambda figure: _TOLD.append(f"{request.node.name}: {figure}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TOLD:
        terminalreporter.section("figures")
        for line in _TOLD:
            terminalreporter.write_line(line)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three nodes that sync what they write, with etcd's default timers."""
    made = EtcdCluster(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.kill()
