"""Test the filesystem, by fsspec's tests for every filesystem and by its own."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Iterator

import pytest

from rundlet import Client

fsspec = pytest.importorskip("fsspec")

from fsspec.tests import abstract  # noqa: E402 - it may not be there

from rundlet.adapters.fsspec import RundletFileSystem  # noqa: E402


@pytest.fixture
def filesystem(server_url: str) -> Iterator[RundletFileSystem]:
    filesystem = RundletFileSystem(server_url, skip_instance_cache=True)
    yield filesystem
    filesystem.close()


class Fixtures(abstract.AbstractFixtures):
    """The filesystem that fsspec's tests run on."""

    @pytest.fixture
    def fs(self, filesystem: RundletFileSystem) -> RundletFileSystem:
        return filesystem

    @pytest.fixture
    def fs_path(self, prefix: str) -> str:
        return prefix.rstrip("/")

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
