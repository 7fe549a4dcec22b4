"""The index of many records at once is the one that the records make one by one."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.record import Record
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.format.segment_writer import SegmentWriter
from rundlet_server.storage.log.format.stretches import Stretch, stretches
from rundlet_server.storage.log.index import columns as index_columns
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.gathering import RowGatherer
from tests.support.campaign import Campaign
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.segments import STORE, one_by_one, random_frames, write_segment


def indexed(segment: Segment, end: int) -> index_columns.Columns:
    delta = Delta(1, HEADER_SIZE)
    for frame in segment.frames(HEADER_SIZE, end):
        delta.add(one_by_one(frame, 1))
    return index_columns.from_delta(delta)


def gathered(segment: Segment, end: int) -> index_columns.Columns:
    gatherer = RowGatherer()
    for stretch in stretches(segment, HEADER_SIZE, end):
        gatherer.add(1, stretch, stretch.records())
    return gatherer.columns()


def types_of(columns: index_columns.Columns) -> list[str]:
    return [columns.types[number] for number in columns.rows["type"][:-1].tolist()]


def require_same(one: index_columns.Columns, other: index_columns.Columns) -> None:
    for field in ("revision", "position", "key_offset", "size", "version", "flags", "meta_size"):
        assert np.array_equal(one.rows[field], other.rows[field]), field
    assert np.array_equal(one.keys, other.keys)
    assert np.array_equal(one.table, other.table)
    assert types_of(one) == types_of(other)
    assert np.array_equal(one.expiry_rows, other.expiry_rows)
    assert np.array_equal(one.expiry_times_us, other.expiry_times_us)


def test_rows_are_those_of_the_records_one_by_one(tmp_path: Path, campaign: Campaign) -> None:
    chance = random.Random(campaign.seed)
    for prefix in [b"", b"p", b"a longer prefix/"] * 20:
        segment, end = write_segment(tmp_path, random_frames(chance, prefix))

        require_same(gathered(segment, end), indexed(segment, end))

        segment.file.close()
        campaign.count("random segments")


def test_no_records_make_an_empty_index() -> None:
    require_same(RowGatherer().columns(), index_columns.from_versions([], []))


def test_a_flipped_bit_is_refused_where_a_frame_at_a_time_is_refused(
    tmp_path: Path, campaign: Campaign
) -> None:
    chance = random.Random(campaign.seed)
    segment, end = write_segment(tmp_path, random_frames(chance, b"key "))
    for offset in chance.sample(range(HEADER_SIZE, end), min(300, end - HEADER_SIZE)):
        byte = segment.file.pread(1, offset)
        segment.file.pwrite([bytes([byte[0] ^ 1 << chance.randrange(8)])], offset)

        with pytest.raises(Damaged) as many:
            list(stretches(segment, HEADER_SIZE, end))
        with pytest.raises(Damaged) as single:
            list(segment.frames(HEADER_SIZE, end))

        assert (many.value.offset, many.value.reason) == (single.value.offset, single.value.reason)
        segment.file.pwrite([byte], offset)
    segment.file.close()


def test_a_record_with_a_wrong_checksum_in_a_whole_frame_is_refused(tmp_path: Path) -> None:
    folder = tmp_path
    writer = SegmentWriter(UnsyncedFiles(), folder, 1, STORE)
    [good] = records.encode(Record(b"key", b"value", records.PUT, 1, 1, 1))
    bad = bytes(good[:-1]) + bytes([good[-1] ^ 1])
    about = {"record_count": 2, "revision": 1, "time_us": 1}
    first = writer.append([[good], [bad]], totals=Totals(), **about)
    writer.finish(is_indexed=False)
    segment = Segment.open(UnsyncedFiles(), folder, 1)
    [stretch] = stretches(segment, HEADER_SIZE, writer.size)

    with pytest.raises(Damaged) as refused:
        stretch.records()

    assert refused.value.offset == first + len(good)
    segment.file.close()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_count_that_the_records_do_not_have_is_refused(tmp_path: Path, count: int) -> None:
    writer = SegmentWriter(UnsyncedFiles(), tmp_path, 1, STORE)
    two = [records.encode(Record(b"key", b"value", records.PUT, 1, 1, 1)) for _ in range(2)]
    writer.append(two, record_count=count or 99, revision=1, time_us=1, totals=Totals())
    writer.finish(is_indexed=False)
    segment = Segment.open(UnsyncedFiles(), tmp_path, 1)
    [stretch] = stretches(segment, HEADER_SIZE, writer.size)

    with pytest.raises(Damaged):
        stretch.records()

    segment.file.close()


def test_a_stretch_begins_where_it_is_asked_to(tmp_path: Path) -> None:
    frames = [[Record(b"%d" % n, b"", records.PUT, n, 1, n)] for n in range(1, 9)]
    segment, end = write_segment(tmp_path, frames)
    third = [frame.offset for frame in segment.frames(HEADER_SIZE, end)][2]

    [stretch] = stretches(segment, third, end)

    assert stretch.records().keys == [b"3", b"4", b"5", b"6", b"7", b"8"]
    assert stretch.frame(-1).revision == 8
    assert _end_of(stretch) == end
    segment.file.close()


def _end_of(stretch: Stretch) -> int:
    return stretch.offset + stretch.size
