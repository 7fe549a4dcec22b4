"""User metadata in the files of a store: what it changes, and what it leaves as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cbor2
import pytest

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.checksum import seal
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.interface import Put, Touch, Txn
from rundlet_server.storage.log.format import manifest as manifests
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.locator import may_have_metadata, offset_of
from rundlet_server.storage.log.format.manifest import encode_manifest, read_manifest
from rundlet_server.storage.log.format.record import BadRecord, Record
from rundlet_server.storage.log.index.meta_sizes import META_SHIFT, META_SIZE_MAX
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.metadata import metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.sample_stores import flipped
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

FILES = UnsyncedFiles()
ABOUT = metadata_of({"by": "ü"})
LONG = metadata_of({f"name-{number:02}": "x" * 100 for number in range(16)})
SETTINGS = StoreSettings(files=FILES, clock=Clock(), segment_records_max=4, maintain_inline=False)


def opened(folder: Path, settings: StoreSettings = SETTINGS) -> closing[LogStore]:
    return closing(open_log_store(folder, settings))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with opened(tmp_path) as store:
        yield store


def manifest_format(folder: Path) -> int:
    return int.from_bytes((folder / "MANIFEST").read_bytes()[8:12], "little")


def test_a_folder_is_of_the_new_format_from_the_first_metadata_on(store, tmp_path):
    store.commit(Txn([Put("a", b"v")]))
    before = manifest_format(tmp_path)
    store.commit(Txn([Put("a", b"v", metadata=ABOUT)]))
    after = manifest_format(tmp_path)
    generation = read_manifest(FILES, tmp_path).generation
    store.commit(Txn([Put("b", b"v", metadata=ABOUT), Put("c", b"v")]))

    assert (before, after) == (2, 3)
    assert read_manifest(FILES, tmp_path).needs == {"metadata"}
    assert read_manifest(FILES, tmp_path).generation == generation, "it is said once"


def test_a_folder_with_an_outcome_is_of_the_new_format(store, tmp_path):
    idempotency = Idempotency(bytes(16), b"request", keep_s=60)
    store.commit(Txn([Put("a", b"v")], idempotency=idempotency))

    assert read_manifest(FILES, tmp_path).needs == {"outcomes"}


def test_another_process_sees_metadata_written_after_it_opened(store, tmp_path):
    with opened(tmp_path) as other:
        assert other.get("a") is None
        store.commit(Txn([Put("a", b"v", metadata=ABOUT)]))

        assert other.get("a").metadata == ABOUT
        other.commit(Txn([Touch("a")]))
    assert store.get("a").metadata == ABOUT


def test_what_a_release_must_know_and_does_not_is_named(tmp_path):
    with opened(tmp_path):
        pass
    manifest = read_manifest(FILES, tmp_path)
    needs = frozenset({"metadata", "telepathy"})
    (tmp_path / "MANIFEST").write_bytes(encode_manifest(dataclasses.replace(manifest, needs=needs)))

    with pytest.raises(UnknownFormat, match="does not know telepathy"):
        open_log_store(tmp_path, SETTINGS)


def test_a_record_with_metadata_is_refused_by_releases_without():
    """They know the type codes below 8, and 255."""
    [data] = records.encode(Record(b"a", b"v", records.PUT, 1, 1, 9, metadata=ABOUT))

    assert records.HEADER.unpack_from(data)[5] == 254


def test_no_meta_map_is_too_large_for_an_index_row():
    unit = 1 << (records.META_UNIT.bit_length() - 1)

    assert unit == records.META_UNIT
    assert META_SIZE_MAX * unit >= records.META_BYTES_MAX
    assert (unit.bit_length() - 1) << META_SHIFT <= 255


@pytest.mark.parametrize("metadata", [None, {}, [], "text", {"a": 1}, {1: "a"}, {"a": b"b"}])
def test_metadata_that_is_no_map_of_texts_is_refused(metadata):
    data = cbor2.dumps({1: "text/plain", 3: metadata})
    padding = bytes(-(len(data) + 4) % records.META_UNIT)

    with pytest.raises(BadRecord):
        records.decode_meta(records.TYPE_AND_METADATA, seal(data + padding))


def test_any_bit_of_metadata_that_is_wrong_is_noticed_without_the_value(store, tmp_path):
    store.commit(Txn([Put("a", b"v", "text/x-rare", metadata=ABOUT)]))
    locator = store._follower.view.find(b"a")
    start = offset_of(locator.position) + records.HEADER.size + len("a")
    size = locator.size - records.OVERHEAD - len("a") - len("v")
    path = tmp_path / "0000000001.log"

    for bit in range(8 * start, 8 * (start + size)):
        flipped(path, bit)
        with pytest.raises(Damaged, match=path.name):
            store.scan(include_metadata=True)
        with pytest.raises(Damaged, match=path.name):
            store.history("a")
        flipped(path, bit)
    assert store.scan(include_metadata=True).keys[0].metadata == ABOUT


def test_metadata_of_a_large_value_is_read_without_it(store, tmp_path):
    store.commit(Txn([Put("a", bytes(LARGE_VALUE_BYTES + 1), metadata=LONG)]))
    flipped(tmp_path / "0000000001.log", 8 * (LARGE_VALUE_BYTES // 2))

    assert store.peek("a").metadata == LONG
    assert store.scan(include_metadata=True).keys[0].metadata == LONG
    assert store.history("a").versions[0].metadata == LONG
    with pytest.raises(Damaged):
        store.get("a")


@pytest.mark.parametrize(("metadata", "version"), [((), 1), (ABOUT, 1), (LONG, 2)])
def test_an_index_file_says_by_its_format_whether_it_has_large_meta_maps(
    store, tmp_path, metadata, version
):
    for key in "abcde":
        store.commit(Txn([Put(key, b"value", metadata=metadata)]))
    store.maintainer.checkpoint()
    [path] = tmp_path.glob("*.idx")

    assert int.from_bytes(path.read_bytes()[8:12], "little") == version
    assert [info.size for info in store.scan().keys] == [5] * 5
    assert store.stats().value_bytes == 25
    assert verify(tmp_path).problems == []


def test_values_that_cannot_have_metadata_are_not_read_for_it(store):
    store.commit(Txn([Put("a", b"v"), Put("b", b"v", metadata=ABOUT)]))
    view = store._follower.view

    assert not may_have_metadata(b"a", view.find(b"a"))
    assert may_have_metadata(b"b", view.find(b"b"))


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_repair_keeps_metadata_and_says_that_it_is_there(tmp_path, has_manifest):
    with opened(tmp_path) as store:
        for key in "abcdef":
            store.commit(Txn([Put(key, b"value", metadata=LONG if key > "c" else ABOUT)]))
    if not has_manifest:
        (tmp_path / "MANIFEST").unlink()
    flipped(tmp_path / "0000000001.log", 8 * 70)
    repair(tmp_path, SETTINGS)

    with opened(tmp_path) as store:
        found = store.scan(include_metadata=True).keys
    assert [info.metadata for info in found if info.key > "c"] == [LONG] * 3
    assert all(info.metadata == ABOUT for info in found if info.key <= "c")
    assert read_manifest(FILES, tmp_path).needs == {"metadata"}
    assert verify(tmp_path).problems == []


def test_format_of_the_manifest_is_the_newest_known():
    assert manifests.FORMAT_VERSION == 3
    assert {"metadata", "outcomes"} == manifests.KNOWN_NEEDS
