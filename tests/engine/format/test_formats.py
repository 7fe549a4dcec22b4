"""Test that every format decodes what it encodes, and rejects all else by a named error."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import cbor2
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from rundlet_server.storage.checksum import CHECKSUM_SIZE, seal
from rundlet_server.storage.errors import Damaged, Unavailable, UnknownFormat
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE
from rundlet_server.storage.log.check.salvage import whole_records
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import BadFrame, Totals
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.manifest import (
    KNOWN_NEEDS,
    IndexState,
    Manifest,
    SegmentState,
    read_manifest,
    write_manifest,
)
from rundlet_server.storage.log.format.names import (
    index_name,
    index_number,
    segment_name,
    segment_number,
)
from rundlet_server.storage.log.format.record import KIND_NAMES, WELL_KNOWN_TYPES, BadRecord, Record
from rundlet_server.storage.log.format.segment import (
    COMPACTED,
    HEADER_SIZE,
    Segment,
    SegmentHeader,
    decode_header,
    encode_header,
)
from rundlet_server.storage.log.format.segment_writer import SegmentWriter
from rundlet_server.storage.log.index.columns import KEY_BYTES_MAX, from_delta, merge
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.metadata import NAME_PATTERN, NO_METADATA, metadata_of
from tests.support.disks.sample_stores import folder_in_memory

SALT = 0x1234_5678
REVISIONS = st.integers(1, frames.REVISION_MAX - 1)
RECORDS = st.builds(
    Record,
    key=st.binary(min_size=1, max_size=50),
    value=st.binary(max_size=300),
    kind=st.sampled_from(sorted(KIND_NAMES)),
    revision=REVISIONS,
    version=st.integers(0, (1 << 32) - 1),
    time_us=st.integers(0, 1 << 62),
    content_type=st.sampled_from(WELL_KNOWN_TYPES) | st.text(max_size=40),
    expires_us=st.integers(0, 1 << 62),
    metadata=st.just(NO_METADATA)
    | st.dictionaries(
        st.from_regex(NAME_PATTERN, fullmatch=True), st.text(min_size=1, max_size=100), max_size=4
    ).map(metadata_of),
)
MANIFESTS = st.builds(
    Manifest,
    generation=REVISIONS,
    store_id=st.binary(min_size=16, max_size=16),
    next_segment=REVISIONS,
    next_index=REVISIONS,
    oldest_revision=REVISIONS,
    revision_floor=REVISIONS,
    is_lax=st.booleans(),
    segments=st.lists(
        st.builds(
            SegmentState,
            REVISIONS,
            REVISIONS,
            REVISIONS,
            REVISIONS,
            REVISIONS,
            st.builds(Totals, REVISIONS, REVISIONS),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    indexes=st.lists(st.builds(IndexState, REVISIONS, REVISIONS, REVISIONS), max_size=3).map(tuple),
    needs=st.sampled_from([frozenset(), KNOWN_NEEDS]),
)
quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


def encoded(record: Record) -> bytes:
    return b"".join(records.encode(record))


def encoded_frame(found: list[Record], offset: int = HEADER_SIZE, synced: int = 0) -> bytes:
    buffers, size = frames.encode(
        [records.encode(record) for record in found],
        record_count=len(found),
        revision=max(record.revision for record in found),
        time_us=7,
        totals=Totals(3, 4),
        synced=synced,
        salt=SALT,
        offset=offset,
    )
    data = b"".join(buffers)
    assert len(data) == size
    return data


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """Bytes, and the same with something changed."""
    data = draw(whole)
    changed = bytearray(data)
    place = draw(st.integers(0, len(data) - 1))
    match draw(st.integers(0, 3)):
        case 0:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        case 1:
            del changed[place:]
        case 2:
            changed[place : place + 8] = draw(st.binary(min_size=8, max_size=8))
        case _:
            changed[place:place] = draw(st.binary(min_size=1, max_size=9))
    return data, bytes(changed)


# --- records and frames ---------------------------------------------------------------------


@quick
@given(RECORDS)
def test_a_record_is_decoded_as_it_was_encoded(record):
    assert records.decode(encoded(record)) == record


@pytest.mark.parametrize("size", [4_095, 4_096, 4_097, 100_000])
def test_large_values_are_not_copied_and_encoded_alike(size):
    record = Record(b"key", bytes(size), records.PUT, 1, 1, 7, "image/png", 8)
    buffers = records.encode(record)

    assert records.decode(encoded(record)) == record
    assert any(buffer is record.value for buffer in buffers) == (size > 4_096)


@quick
@given(mutated(RECORDS.map(encoded)))
def test_a_changed_record_is_refused(pair):
    whole, changed = pair
    if changed != whole:
        with pytest.raises(BadRecord):
            records.decode(changed)


@quick
@given(RECORDS)
def test_the_value_in_a_record_is_that_of_the_record_for_its_own_key_and_revision_only(record):
    data = encoded(record)
    entry = records.decode_entry(data, "key", record.key, record.revision)
    assert entry == records.to_entry("key", record)
    for key, revision in [
        (record.key + b"x", record.revision),
        (record.key[:-1], record.revision),
        (record.key, record.revision + 1),
    ]:
        with pytest.raises(BadRecord):
            records.decode_entry(data, "key", key, revision)


@quick
@given(mutated(RECORDS.map(encoded)))
def test_no_value_is_taken_out_of_a_changed_record(pair):
    whole, changed = pair
    record = records.decode(whole)
    if changed != whole:
        with pytest.raises(BadRecord):
            records.decode_entry(changed, "key", record.key, record.revision)


@quick
@given(st.binary(max_size=200), RECORDS)
def test_any_bytes_with_a_good_checksum_hold_a_value_or_are_refused(data, record):
    for bytes_with_checksum in (data, seal(data), seal(encoded(record)[:-5] + data)):
        with contextlib.suppress(BadRecord):
            records.decode_entry(bytes_with_checksum, "key", record.key, record.revision)


@quick
@given(st.binary(max_size=200))
def test_any_bytes_with_a_good_checksum_are_a_record_or_refused(data):
    for bytes_with_checksum in (data, seal(data)):
        try:
            record = records.decode(bytes_with_checksum)
        except BadRecord:
            continue
        assert len(encoded(record)) >= records.OVERHEAD


@quick
@given(st.lists(RECORDS, min_size=1, max_size=5), st.integers(8, 1 << 30).map(lambda n: n * 8))
def test_a_frame_is_decoded_as_it_was_encoded(found, offset):
    frame = frames.decode(memoryview(encoded_frame(found, offset)), offset, SALT)

    assert [records.decode(data) for _, data in frame.records()] == found
    assert frame.totals == Totals(3, 4)


@quick
@given(mutated(st.lists(RECORDS, min_size=1, max_size=3).map(encoded_frame)))
def test_a_changed_frame_is_refused(pair):
    whole, changed = pair
    if changed[: len(whole)] != whole:
        with pytest.raises(BadFrame):
            frames.decode(memoryview(changed), HEADER_SIZE, SALT)


@quick
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_a_frame_of_another_place_or_segment_is_refused(found):
    data = memoryview(encoded_frame(found))
    for offset, salt in ((HEADER_SIZE + 8, SALT), (HEADER_SIZE, SALT + 1)):
        with pytest.raises(BadFrame):
            frames.decode(data, offset, salt)


@quick
@given(st.binary(max_size=400))
def test_any_bytes_are_searched_without_an_error_and_without_much_memory(data):
    tracemalloc.start()
    found = list(frames.search(memoryview(data), 0, SALT))
    salvaged = list(whole_records(memoryview(data), 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == []
    assert salvaged == []
    assert peak < 200_000


@quick
@given(
    st.lists(st.lists(RECORDS, min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(1, 20).map(lambda n: n * 8),
)
def test_frames_are_found_behind_damage(commits, gap):
    data = bytes(gap)
    for found in commits:
        data += encoded_frame(found, HEADER_SIZE + len(data))

    searched = list(frames.search(memoryview(data), HEADER_SIZE, SALT))

    assert [frame.record_count for frame in searched] == [len(found) for found in commits]


@quick
@given(st.lists(RECORDS, min_size=2, max_size=5), st.data())
def test_records_are_found_in_a_damaged_frame(found, data):
    frame = bytearray(encoded_frame(found))
    hurt = data.draw(st.integers(0, len(found) - 1))
    start = frames.HEADER.size + sum(len(encoded(record)) for record in found[:hurt])
    frame[start + len(encoded(found[hurt])) - 1] ^= 1  # its checksum: lengths are still right

    salvaged = [records.decode(piece) for _, piece in whole_records(memoryview(frame), 64)]

    assert salvaged == found[:hurt] + found[hurt + 1 :]


# --- segment header, manifest ---------------------------------------------------------------

HEADERS = st.builds(
    SegmentHeader,
    st.sampled_from([1, 2]),
    REVISIONS,
    st.binary(min_size=16, max_size=16),
    st.integers(0, (1 << 32) - 1),
)


@quick
@given(HEADERS)
def test_a_segment_header_is_decoded_as_it_was_encoded(header):
    data = encode_header(header)

    assert len(data) == HEADER_SIZE
    assert decode_header(data, Path("x.log")) == header


@quick
@given(mutated(HEADERS.map(encode_header)) | st.binary(max_size=80).map(lambda b: (b"", b)))
def test_any_other_segment_header_is_refused(pair):
    whole, changed = pair
    if changed[:HEADER_SIZE] != whole:
        with pytest.raises((Damaged, UnknownFormat)):
            decode_header(changed[:HEADER_SIZE], Path("x.log"))


def test_another_format_version_is_refused_by_name():
    data = encode_header(SegmentHeader(1, 1, bytes(16), 1))[:-CHECKSUM_SIZE]
    other = seal(data[:8] + struct.pack("<I", 99) + data[12:])

    with pytest.raises(UnknownFormat, match="99"):
        decode_header(other, Path("x.log"))


@quick
@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(folder, manifest):
    write_manifest(RealFiles(), folder, manifest)

    assert read_manifest(RealFiles(), folder) == manifest


@quick
@given(MANIFESTS, st.data())
def test_a_changed_manifest_is_refused(folder, manifest, data):
    write_manifest(RealFiles(), folder, manifest)
    path = folder / "MANIFEST"
    whole, changed = data.draw(mutated(st.just(path.read_bytes())))
    path.write_bytes(changed)
    if changed != whole:
        with pytest.raises(Damaged):
            read_manifest(RealFiles(), folder)


NOISE = st.recursive(
    st.none() | st.integers() | st.binary(max_size=20) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@quick
@given(st.binary(max_size=100) | NOISE.map(cbor2.dumps))
def test_noise_under_a_good_checksum_is_no_manifest(folder, payload):
    header = struct.pack("<8sII", b"RNDLTMAN", 1, len(payload))
    (folder / "MANIFEST").write_bytes(seal(header + payload))
    with pytest.raises(Damaged):
        read_manifest(RealFiles(), folder)


# --- index files ----------------------------------------------------------------------------

VERSIONS = st.dictionaries(
    st.binary(min_size=1, max_size=12), st.integers(1, 4), min_size=1, max_size=40
)


def delta_of(versions: dict[bytes, int]) -> Delta:
    delta = Delta(1, HEADER_SIZE)
    revision = 0
    for key, count in versions.items():
        for version in range(1, count + 1):
            revision += 1
            locator = Locator(
                revision,
                pack_position(1, 64 + 100 * revision),
                records.OVERHEAD + len(key) + 10,
                10,
                version,
                records.PUT,
                DEFAULT_CONTENT_TYPE,
                revision * (revision % 2),
            )
            delta.add([(key, locator)])
    return delta


def written(folder: Path, delta: Delta) -> IndexFile:
    path = folder / index_name(1)
    size = write_index(RealFiles(), path, bytes(16), from_delta(delta))
    return IndexFile(RealFiles(), path, 1, size)


@quick
@given(VERSIONS)
def test_an_index_file_finds_what_was_written(folder, versions):
    delta = delta_of(versions)
    index = written(folder, delta)

    for key, count in versions.items():
        newest = delta.find(key, None)
        assert newest is not None
        found = index.find(key, None)
        assert found == newest._replace(previous=None)
        assert len(list(index.versions(key))) == count
    assert [key for key, _ in index.scan(b"", None, reverse=False)] == sorted(versions)
    assert index.find(b"not there", None) is None


@quick
@given(VERSIONS, st.data())
def test_a_changed_index_file_is_refused_or_says_the_same(folder, versions, data):
    index = written(folder, delta_of(versions))
    told = {key: list(index.versions(key)) for key in versions}
    path = index.path
    del index
    _, changed = data.draw(mutated(st.just(path.read_bytes())))
    path.unlink()
    path.write_bytes(changed)

    for size in {path.stat().st_size, len(changed)}:
        try:
            index = IndexFile(RealFiles(), path, 1, size)
            again = {key: list(index.versions(key)) for key in versions}
        except (Damaged, UnknownFormat):
            continue
        assert again == told


@quick
@given(NOISE.map(cbor2.dumps) | st.binary(max_size=60))
def test_noise_under_a_good_checksum_is_no_index_file(folder, payload):
    contents = seal(payload)
    header = struct.pack("<8sII16sQQ12x", b"RNDLTIDX", 1, 1 << 16, bytes(16), 64, len(contents))
    path = folder / index_name(1)
    path.write_bytes(seal(header) + contents)
    with pytest.raises(Damaged):
        IndexFile(RealFiles(), path, 1, path.stat().st_size)


def test_more_keys_than_an_index_can_hold_are_refused_before_they_are_mixed_up():
    columns = from_delta(delta_of({b"a": 1}))
    huge = np.broadcast_to(np.uint8(97), (KEY_BYTES_MAX,))

    with pytest.raises(Unavailable, match="bytes of keys"):
        merge(columns, dataclasses.replace(columns, keys=huge))


def test_a_manifest_without_segments_is_refused(folder):
    whole = Manifest(1, bytes(16), 2, 1, 0, 0, False, (), ())
    write_manifest(RealFiles(), folder, dataclasses.replace(whole))
    with pytest.raises(Damaged, match="no segment"):
        read_manifest(RealFiles(), folder)


def test_a_file_name_and_its_number_are_the_same_thing():
    assert segment_number(segment_name(12)) == index_number(index_name(12)) == 12


@pytest.mark.parametrize(
    "name",
    [
        "12.log",
        "00000000012.log",
        "0000000012.idx",
        "0000000012.log.tmp",
        "\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661\u0662.log",
        ".log",
    ],
)
def test_a_name_that_no_segment_has_holds_no_number(name):
    assert segment_number(name) is None


def test_every_new_segment_has_a_salt_of_its_own():
    headers = [SegmentHeader.with_new_salt(1, 1, bytes(16)) for _ in range(8)]

    assert len({header.salt for header in headers}) > 1


def test_copies_are_a_segment_like_any_other(folder):
    record = Record(b"key", b"value", records.PUT, 7, 1, 1_000)
    writer = SegmentWriter(RealFiles(), folder, 3, bytes(16))
    offsets = [
        writer.append(
            [records.encode(record)], record_count=1, revision=7, time_us=1_000, totals=Totals()
        )
        for _ in range(2)
    ]

    state = writer.finish(is_indexed=True)

    segment = Segment.open(RealFiles(), folder, 3, writable=False)
    found = list(segment.frames(HEADER_SIZE, state.size))
    assert segment.file.size() == state.size
    assert segment.header.origin == COMPACTED
    assert (state.record_count, state.last_revision, state.last_time_us) == (2, 7, 1_000)
    assert [offset for frame in found for offset, _ in frame.records()] == offsets
