"""Segments of random records, and their index made in the plainest way."""

from __future__ import annotations

import random
from pathlib import Path

from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Frame, Totals
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.record import Record
from rundlet_server.storage.log.format.segment import Segment
from rundlet_server.storage.log.format.segment_writer import SegmentWriter
from tests.support.disks.unsynced_files import UnsyncedFiles

STORE = bytes(16)
TYPES = [*records.WELL_KNOWN_TYPES, "text/x-rare", "image/x-rare"]
NAMES = [
    b"",
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"ab",
    b"longer than eight",
    b"longer than nine",
    b"\xc3",
]


def write_segment(folder: Path, frames: list[list[Record]]) -> tuple[Segment, int]:
    """Write a segment, a frame for each list of records; return it and where it ends."""
    writer = SegmentWriter(UnsyncedFiles(), folder, 1, STORE)
    for found in frames:
        writer.append(
            map(records.encode, found),
            record_count=len(found),
            revision=found[-1].revision,
            time_us=found[-1].time_us,
            totals=Totals(),
        )
    writer.finish(is_indexed=False)
    return Segment.open(UnsyncedFiles(), folder, 1), writer.size


def random_frames(chance: random.Random, prefix: bytes) -> list[list[Record]]:
    """Return records of few keys with names in common, and of all kinds and types."""
    frames: list[list[Record]] = []
    revision = 0
    for _ in range(chance.randint(1, 12)):
        frames.append([])
        for _ in range(chance.choice([1, 1, 2, 30])):
            revision += 1
            key = prefix + chance.choice(NAMES)
            frames[-1].append(
                Record(
                    key or b"k",
                    bytes(chance.choice([0, 5, 3_000])),
                    chance.choice(list(records.KIND_NAMES)),
                    revision,
                    chance.randint(1, records.VERSION_MAX),
                    revision * 10,
                    chance.choice(TYPES),
                    chance.choice([0, 0, 0, chance.randint(1, 1 << 50)]),
                )
            )
    return frames


def one_by_one(frame: Frame, segment: int) -> list[tuple[bytes, Locator]]:
    """Return key and locator of each record of a frame, from the decoded record."""
    return [
        (record.key, locator_of(record, pack_position(segment, offset), len(data)))
        for offset, data in frame.records()
        for record in [records.decode(bytes(data))]
    ]


def locator_of(record: Record, position: int, size: int) -> Locator:
    """Return the locator of a record."""
    about = (record.version, record.kind, record.content_type, record.expires_us)
    return Locator(record.revision, position, size, len(record.value), *about)
