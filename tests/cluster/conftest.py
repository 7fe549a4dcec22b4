"""Three nodes of etcd for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes.etcd import EtcdCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three nodes that sync what they write, with etcd's default timers."""
    made = EtcdCluster(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.kill()
