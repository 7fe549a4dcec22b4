"""What a replay finds in many frames at a time is what each of them says by itself."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from rundlet_server.storage.checksum import CHECKSUM_SIZE, seal
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.commit_times import CommitTimes, commits_of
from rundlet_server.storage.log.format.frame import Totals, frame_seed
from rundlet_server.storage.log.format.record import Record
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.format.stretches import Stretch, stretches
from tests.support.campaign import Campaign
from tests.support.models.segments import one_by_one, random_frames, write_segment

SALT = 11
GOOD = Record(b"good", b"value", records.PUT, 1, 1, 1)


@pytest.mark.parametrize("read_bytes", [100, 4_000, 1 << 20])
def test_locators_and_commits_are_those_of_the_frames_one_by_one(
    tmp_path: Path, campaign: Campaign, read_bytes: int
):
    chance = random.Random(campaign.seed)
    for _ in range(20):
        segment, end = write_segment(tmp_path, random_frames(chance, b"key "))

        found = list(stretches(segment, HEADER_SIZE, end, read_bytes=read_bytes))

        expected = list(segment.frames(HEADER_SIZE, end))
        assert [entry for stretch in found for entry in stretch.locators(7)] == [
            entry for frame in expected for entry in one_by_one(frame, 7)
        ]
        for is_appended in (True, False):
            at_once, one_by_one_times = CommitTimes(), CommitTimes()
            for stretch in found:
                stretch.add_commits(at_once, is_appended=is_appended)
            for frame in expected:
                one_by_one_times.add(commits_of(frame, is_appended=is_appended))
            assert at_once == one_by_one_times
        last = expected[-1]
        assert found[-1].last_commit == (last.revision, last.time_us, last.totals)
        segment.file.close()
        campaign.count("random segments")


@pytest.mark.parametrize("count", [0, 1, 3, 1 << 31])
def test_a_count_that_the_records_do_not_have_is_refused_at_its_frame(count: int):
    good = framed([GOOD], HEADER_SIZE)
    bad = framed([GOOD, GOOD], HEADER_SIZE + len(good), count=count)

    refused_at(stretch_of(good, bad), HEADER_SIZE + len(good))


@pytest.mark.parametrize(
    ("field", "place", "size"),
    [("<I", 0, 13), ("<I", 0, 1 << 31), ("<H", 4, 12), ("<H", 6, 8), ("<H", 6, 0xFFFF)],
)
def test_a_record_longer_than_its_frame_is_refused_at_its_frame(field: str, place: int, size: int):
    """The checksum of the frame matches: only a bug or an editor can write such bytes."""
    good = framed([GOOD], HEADER_SIZE)
    bad = bytearray(framed([GOOD], HEADER_SIZE + len(good))[:-CHECKSUM_SIZE])
    struct.pack_into(field, bad, frames.HEADER.size + place, size)
    sealed = seal(bytes(bad), frame_seed(SALT, HEADER_SIZE + len(good)))

    refused_at(stretch_of(good, sealed), HEADER_SIZE + len(good))


def test_a_meta_map_that_cannot_be_read_is_refused_at_its_frame():
    good = framed([GOOD], HEADER_SIZE)
    odd = Record(b"odd", b"", records.PUT, 1, 1, 1, "image/x-rare")
    whole = framed([odd], HEADER_SIZE + len(good))
    bad = whole[:-CHECKSUM_SIZE].replace(b"image/x-rare", b"image/x-r\xffre")
    sealed = seal(bad, frame_seed(SALT, HEADER_SIZE + len(good)))

    refused_at(stretch_of(good, sealed), HEADER_SIZE + len(good))


def framed(found: list[Record], offset: int, *, count: int | None = None) -> bytes:
    buffers, _ = frames.encode(
        map(records.encode, found),
        record_count=len(found) if count is None else count,
        revision=1,
        time_us=1,
        totals=Totals(),
        synced=0,
        salt=SALT,
        offset=offset,
    )
    return b"".join(buffers)


def stretch_of(first: bytes, second: bytes) -> Stretch:
    places = [0, len(first), len(first) + len(second)]
    return Stretch(Path("segment"), SALT, HEADER_SIZE, first + second, places)


def refused_at(stretch: Stretch, offset: int) -> None:
    with pytest.raises(Damaged) as refused:
        stretch.locators(1)

    assert refused.value.offset == offset
