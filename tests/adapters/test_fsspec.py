"""Test the filesystem, by fsspec's tests for every filesystem and by its own."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rundlet import Client, PreconditionFailed

fsspec = pytest.importorskip("fsspec")

from fsspec.callbacks import Callback  # noqa: E402
from fsspec.tests import abstract  # noqa: E402 - it may not be there

from rundlet.adapters.fsspec import RundletFileSystem  # noqa: E402
from tests.support import PATIENCE_S  # noqa: E402

fsspec.register_implementation("rundlet", RundletFileSystem)  # as its entry point does


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
    """Within the filesystem."""


class TestGet(abstract.AbstractGetTests, Fixtures):
    """From the filesystem to local files."""


class TestPut(abstract.AbstractPutTests, Fixtures):
    """From local files to the filesystem."""


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    """Files that are open."""


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    """Values as a whole."""


def test_a_file_that_is_open_shows_the_value_that_it_had(filesystem, client: Client, prefix):
    path = f"{prefix}file.bin"
    client.set(path, bytes(range(100)))

    with filesystem.open(path, block_size=10, cache_type="none") as file:
        first = file.read(10)
        client.set(path, b"another value")
        rest = file.read()

    assert first + rest == bytes(range(100))
    assert filesystem.cat(path) == b"another value"


def test_only_the_bytes_asked_for_are_read(filesystem, client: Client, prefix):
    path = f"{prefix}file.bin"
    client.set(path, bytes(range(100)))

    assert filesystem.cat_file(path, start=10, end=13) == b"\x0a\x0b\x0c"
    assert filesystem.cat_file(path, start=-2) == b"\x62\x63"
    assert filesystem.cat_file(path, start=1, end=-97) == b"\x01\x02"
    assert filesystem.cat_file(path, end=0) == b""
    assert filesystem.cat_ranges([path, path], [0, 50], [2, 52]) == [b"\x00\x01", b"23"]


def test_a_file_has_the_type_of_its_name_and_may_expire(filesystem, client: Client, prefix):
    with filesystem.open(f"{prefix}table.csv", "w", ttl=60) as file:
        file.write("a,b\n")

    info = client.head(f"{prefix}table.csv")
    assert (info.content_type, info.expires is not None) == ("text/csv", True)
    assert filesystem.modified(f"{prefix}table.csv") == info.time


def test_appending_refuses_a_value_that_was_written_meanwhile(filesystem, client: Client, prefix):
    path = f"{prefix}log.txt"
    with filesystem.open(path, "ab") as file:
        file.write(b"one\n")
    with filesystem.open(path, "ab") as file:
        file.write(b"two\n")
    assert client.get_bytes(path) == b"one\ntwo\n"

    file = filesystem.open(path, "ab")
    file.write(b"three\n")
    client.set(path, "other\n")
    with pytest.raises(PreconditionFailed):
        file.close()

    assert client.get_bytes(path) == b"other\n"
    file.closed = True


def test_one_pass_lists_a_tree(filesystem, client: Client, prefix):
    top = prefix.rstrip("/")
    client.set_many({f"{top}/a/b/c": "1", f"{top}/a/d": "22", f"{top}/e": "333"})

    assert filesystem.find(top) == [f"{top}/a/b/c", f"{top}/a/d", f"{top}/e"]
    assert filesystem.find(top, maxdepth=1, withdirs=True) == [top, f"{top}/a", f"{top}/e"]
    assert filesystem.du(top) == 6


def test_a_filesystem_with_a_token_is_sent_to_no_other_process(filesystem):
    assert pickle.loads(pickle.dumps(filesystem)).client.url == filesystem.client.url

    with_token = RundletFileSystem("http://127.0.0.1:1", token="of-nobody")
    with pytest.raises(TypeError, match="set RUNDLET_TOKEN in both"):
        pickle.dumps(with_token)


def test_an_address_names_server_and_key():
    filesystem, path = fsspec.core.url_to_fs("rundlet://127.0.0.1:1/folder/a b?c#d")

    assert isinstance(filesystem, RundletFileSystem)
    assert (filesystem.client.url, path) == ("http://127.0.0.1:1", "folder/a b?c#d")
    assert filesystem.unstrip_protocol(path) == "rundlet://127.0.0.1:1/folder/a b?c#d"


def test_appending_keeps_type_metadata_and_expiry(filesystem, client: Client, prefix):
    path = f"{prefix}log.txt"
    client.set(path, "1", content_type="text/x-rare", meta={"of": "Ada"}, ttl=PATIENCE_S)
    before = client.get(path)

    with filesystem.open(path, "ab") as file:
        file.write(b"2")
    after = client.get(path)

    assert (after.text, after.content_type, after.meta) == ("12", "text/x-rare", {"of": "Ada"})
    assert abs(after.expires - before.expires) < timedelta(seconds=PATIENCE_S / 2)

    with filesystem.open(path, "ab", content_type="text/plain", meta={}, ttl=1_000) as file:
        file.write(b"3")
    after = client.get(path)

    assert (after.text, after.content_type, after.meta) == ("123", "text/plain", {})
    assert after.expires > before.expires + timedelta(seconds=PATIENCE_S)


def test_a_copy_keeps_the_expiry(filesystem, client: Client, prefix):
    client.set(f"{prefix}a", "v", ttl=PATIENCE_S)

    filesystem.cp_file(f"{prefix}a", f"{prefix}b")

    kept = client.get(f"{prefix}a").expires
    assert abs(client.get(f"{prefix}b").expires - kept) < timedelta(seconds=PATIENCE_S / 2)


def test_a_copy_keeps_type_and_metadata(filesystem, client: Client, prefix):
    client.set(f"{prefix}a", "v", content_type="text/x-rare", meta={"of": "Ada"})

    filesystem.cp_file(f"{prefix}a", f"{prefix}b")

    copy = client.get(f"{prefix}b")
    assert (copy.text, copy.content_type, copy.meta) == ("v", "text/x-rare", {"of": "Ada"})


def test_large_files_go_and_come_without_being_in_memory(filesystem, prefix, tmp_path: Path):
    size = 24 << 20
    (tmp_path / "large.bin").write_bytes(os.urandom(size))
    blocks = [os.urandom(1 << 20) for _ in range(8)]

    tracemalloc.start()
    try:
        filesystem.put_file(str(tmp_path / "large.bin"), f"{prefix}large.bin")
        filesystem.get_file(f"{prefix}large.bin", str(tmp_path / "copy.bin"))
        with filesystem.open(f"{prefix}written.bin", "wb", block_size=1 << 20) as file:
            for block in blocks * 3:
                file.write(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < size / 2
    assert (tmp_path / "copy.bin").read_bytes() == (tmp_path / "large.bin").read_bytes()
    assert filesystem.cat(f"{prefix}written.bin") == b"".join(blocks * 3)


def test_a_callback_sees_how_much_moved(filesystem, prefix, tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(1_000))
    put, got = Callback(), Callback()

    filesystem.put_file(str(tmp_path / "a"), f"{prefix}a", callback=put)
    filesystem.get_file(f"{prefix}a", str(tmp_path / "b"), callback=got)

    assert (put.size, put.value, got.size, got.value) == (1_000,) * 4


def test_a_new_file_replaces_none(filesystem, client: Client, prefix, tmp_path: Path):
    (tmp_path / "a").write_bytes(b"new")
    file = filesystem.open(f"{prefix}a", "xb")
    file.write(b"new")
    client.set(f"{prefix}a", "other")

    with pytest.raises(FileExistsError):
        file.close()
    with pytest.raises(FileExistsError):
        filesystem.put_file(str(tmp_path / "a"), f"{prefix}a", mode="create")

    assert client.get_bytes(f"{prefix}a") == b"other"


def test_a_transaction_writes_all_files_at_its_end_or_none(filesystem, prefix):
    with filesystem.transaction:
        with filesystem.open(f"{prefix}large", "wb", block_size=100) as file:
            file.write(bytes(1_000))
        assert not filesystem.exists(f"{prefix}large")
    with pytest.raises(RuntimeError), filesystem.transaction:  # noqa: PT012 - it is one act
        with filesystem.open(f"{prefix}none", "wb") as file:
            file.write(b"v")
        raise RuntimeError

    assert filesystem.cat(f"{prefix}large") == bytes(1_000)
    assert not filesystem.exists(f"{prefix}none")
