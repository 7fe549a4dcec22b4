"""Test that the page of the log format agrees with the code: example, tables, numbers."""

from __future__ import annotations

import dataclasses
import re
import struct

import pytest

from rundlet_server.storage.checksum import CHECKSUM_SIZE, RESIDUE, checksum, is_whole
from rundlet_server.storage.log.format import commit_page, segment, times_file
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.locator import OFFSET_MAX, SEGMENT_NUMBER_MAX
from rundlet_server.storage.log.format.manifest import MAGIC as MANIFEST_MAGIC
from rundlet_server.storage.log.format.manifest import IndexState, Manifest, SegmentState
from rundlet_server.storage.log.index import contents as index_contents
from rundlet_server.storage.log.index.columns import (
    EXPIRES,
    KIND_MASK,
    OLDER,
    ROW_DTYPE,
    TYPE_IN_RECORD,
)
from tests.support import ROOT

PAGE = (ROOT / "docs/log-format.md").read_text()
EXAMPLE_OFFSET = 64
EXAMPLE_SALT = 0x01020304
EXAMPLE_TIME_US = 1_700_000_000_000_000


def section(name: str) -> str:
    found = re.search(rf"^## {name}.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def example() -> bytes:
    block = re.search(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return bytes.fromhex(block[1])


def table(name: str) -> list[tuple[int, int]]:
    """Offset and size of each field in the table of a section that has both."""
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", section(name), re.MULTILINE)
    return [(int(offset), int(size)) for offset, size in rows]


def fields_of(layout: struct.Struct, sealed: bool) -> list[tuple[int, int]]:
    """Offset and size of each field of a struct, with the checksum behind it."""
    places, offset = [], 0
    for item in re.findall(r"\d*[a-zA-Z]", layout.format.lstrip("<")):
        size = struct.calcsize("<" + item)
        places.append((offset, size))
        offset += size
    return [*places, (offset, CHECKSUM_SIZE)] if sealed else places


def test_example_is_the_frame_that_it_is_said_to_be():
    data = example()

    frame = frames.decode(memoryview(data), EXAMPLE_OFFSET, EXAMPLE_SALT)

    assert len(data) == frame.size == 88
    assert frame.record_count == 1
    assert frame.revision == 1
    assert frame.time_us == EXAMPLE_TIME_US
    assert frame.totals == frames.Totals(key_count=1, value_bytes=1)
    assert frame.synced == EXAMPLE_OFFSET


def test_example_holds_the_record_that_it_is_said_to_hold():
    frame = frames.decode(memoryview(example()), EXAMPLE_OFFSET, EXAMPLE_SALT)

    [(offset, data)] = frame.records()

    assert offset == EXAMPLE_OFFSET + frames.HEADER.size
    assert records.decode(data) == records.Record(
        key=b"a",
        value=b"1",
        kind=records.PUT,
        revision=1,
        version=1,
        time_us=EXAMPLE_TIME_US,
    )


def test_example_is_what_the_code_writes():
    record = records.Record(b"a", b"1", records.PUT, 1, 1, EXAMPLE_TIME_US)

    buffers, size = frames.encode(
        [records.encode(record)],
        record_count=1,
        revision=1,
        time_us=EXAMPLE_TIME_US,
        totals=frames.Totals(1, 1),
        synced=EXAMPLE_OFFSET,
        salt=EXAMPLE_SALT,
        offset=EXAMPLE_OFFSET,
    )

    assert b"".join(buffers) == example()
    assert f"{size} bytes" in section("A worked example")


def test_example_does_not_pass_elsewhere():
    data = memoryview(example())
    for offset, salt in [(72, EXAMPLE_SALT), (EXAMPLE_OFFSET, EXAMPLE_SALT + 1)]:
        with pytest.raises(frames.BadFrame):
            frames.decode(data, offset, salt)


@pytest.mark.parametrize(
    ("name", "layout", "sealed"),
    [
        ("Record", records.HEADER, False),
        ("Frame", frames.HEADER, False),
        ("Segment", segment._HEADER, True),
        ("Index file", index_contents.HEADER, True),
    ],
)
def test_table_has_the_offsets_and_sizes_of_the_struct(name, layout, sealed):
    assert table(name) == fields_of(layout, sealed)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Record", records.HEADER.size),
        ("Frame", frames.HEADER.size),
        ("Segment", segment.HEADER_SIZE),
    ],
)
def test_table_says_where_the_header_ends(name, size):
    assert f"\n| {size} | | " in section(name)


def test_magics_and_versions_are_told():
    for name, magic, version in [
        ("Segment", segment.MAGIC, segment.FORMAT_VERSION),
        ("Index file", index_contents.MAGIC, index_contents.FORMAT_VERSION),
    ]:
        assert f"`{magic.decode()}`" in section(name)
        assert f"format version, u32: {version}" in section(name)
    assert f"`{MANIFEST_MAGIC.decode()}`" in section("Manifest")


def test_kinds_and_types_are_told_by_number():
    kinds = ", ".join(f"{number} {name}" for number, name in records.KIND_NAMES.items())
    types = (f"{number} `{name}`" for number, name in enumerate(records.WELL_KNOWN_TYPES))
    text = " ".join(section("Record").split())

    assert f"kind: {kinds}" in text
    assert f"{records.TYPE_IN_META}: in the meta map" in text
    assert f"Type codes: {', '.join(types)}." in text
    map_told = f"{{{records.META_CONTENT_TYPE}: content type, {records.META_EXPIRES_US}: time"
    assert map_told in text


def test_residue_is_that_of_every_sealed_piece():
    assert f"`0x{RESIDUE:08X}`" in section("Sealed bytes")
    assert is_whole(b"123456789" + checksum(b"123456789").to_bytes(CHECKSUM_SIZE, "little"))


def test_manifest_has_the_members_that_are_told():
    told = section("Manifest")
    for field in dataclasses.fields(Manifest):
        assert f"`{field.name}`" in told
    assert len(dataclasses.fields(SegmentState)) == 7
    assert len(dataclasses.fields(IndexState)) == 3


def test_times_file_is_as_told():
    told = section("Times file")

    assert f"`{times_file.MAGIC.decode()}`" in told
    assert f"format version, u32: {times_file.FORMAT_VERSION} |" in told
    assert f"| {times_file.HEADER.size} | 8 *n* | revision" in told


def test_rows_of_an_index_file_are_as_told():
    told = section("Index file")
    sizes = [(name, ROW_DTYPE[name].itemsize) for name in ROW_DTYPE.names or ()]

    assert f"`rows`, {ROW_DTYPE.itemsize} bytes" in told
    assert f"block size, u32: {index_contents.BLOCK_SIZE:,}" in told
    assert f"{TYPE_IN_RECORD:,}: only the record knows it" in told
    assert (KIND_MASK, OLDER, EXPIRES) == (0b111, 1 << 3, 1 << 4)
    assert sizes == [
        ("revision", 8),
        ("position", 8),
        ("key_offset", 4),
        ("size", 4),
        ("version", 4),
        ("type", 2),
        ("flags", 1),
        ("meta_size", 1),
    ]


def test_words_of_the_commit_page_are_as_told():
    words = [
        commit_page._WORD_MAGIC,
        commit_page._WORD_BOOT,
        commit_page._WORD_GENERATION,
        commit_page._WORD_CLOCK,
        commit_page._WORD_EXPIRED_THROUGH,
        commit_page._WORD_ABANDONED,
        commit_page._WORD_COMPACTIONS,
        commit_page.WORD_PUBLISHED,
        commit_page._WORD_DURABLE,
        commit_page._WORD_CHANGING,
        commit_page._WORD_COMPACTIONS_DONE,
    ]

    assert words == [0, 1, 3, 4, 5, 6, 7, 8, 10, 12, 13]
    assert f"{commit_page.PAGE_SIZE // 8} native 64-bit words" in section("COMMIT")


def test_downsides_have_the_right_numbers():
    told = " ".join(section("Known downsides").split())
    alone = frames.HEADER.size + records.OVERHEAD + CHECKSUM_SIZE

    assert f"{alone} to {alone + frames.ALIGNMENT - 1} bytes" in told
    assert f"; {records.OVERHEAD} once compaction" in told
    assert frames.SIZE_MAX < 1 << 32
    assert OFFSET_MAX + 1 == 1 << 40
    assert SEGMENT_NUMBER_MAX + 1 == 16 * 1024 * 1024
