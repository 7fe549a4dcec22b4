r"""A frame: one commit (or, after compaction, a run of records) under one checksum.

      0        4       8          16        24      32      40       44
      ┌────────┬───────┬──────────┬─────────┬───────┬───────┬────────┬─────────┬───────┬──────┐
      │ size   │ count │ revision │ time    │ keys  │ value │ synced │ records │ zeros │ CRC  │
      │ of all │       │          │ µs      │       │ bytes │ / 8    │         │ 0..7  │ 32C  │
      │ u32    │ u32   │ u64      │ u64     │ u64   │ u64   │ u32    │         │       │ u32  │
      └────────┴───────┴──────────┴─────────┴───────┴───────┴────────┴─────────┴───────┴──────┘

* ``size`` is a multiple of 8, so every frame starts at a multiple of 8.
* ``revision`` and ``time`` are those of the last record; ``keys`` and ``value bytes`` are
  the totals of the whole store after this commit: after a restart the store need not count.
* ``synced`` is the offset in this segment, in units of 8 bytes, below which everything was on
  stable storage before this frame was written. A bad frame is damage if a good frame behind it
  has a ``synced`` beyond the bad one; without such a witness the bad frame is a torn tail.
* The checksum is seeded with the segment's salt and the frame's offset, so bytes of another
  place or of an earlier life of the file do not pass.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from rundlet_server.storage.checksum import CHECKSUM_SIZE, RESIDUE, checksum
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.log.format import record as records

HEADER: Final = struct.Struct("<IIQQQQI")
ALIGNMENT: Final = 8
SIZE_MIN: Final = 88
"""Header, one record of a one-byte key without value, zeros, checksum."""
SIZE_MAX: Final = (1 << 32) - ALIGNMENT

REVISION_MAX: Final = (1 << 53) - 1
"""Revisions stay exact where JSON numbers are doubles."""

_JOIN_BYTES_MAX: Final = 256 * 1024
"""Frames up to this size are joined to one buffer; larger ones go to ``pwritev`` in pieces."""
_ZEROS: Final = bytes(ALIGNMENT)
_SEED: Final = struct.Struct("<Q")
_TOO_LONG: Final = "the records do not fit into the frame"


class BadFrame(Exception):
    """Bytes that are not a whole, legal frame; the text says why."""


class Totals(NamedTuple):
    """Exact counts of the whole store after a commit."""

    key_count: int = 0
    value_bytes: int = 0


class Frame(NamedTuple):
    """A frame found in a log. ``body`` holds the records; ``offset`` is the frame's own."""

    offset: int
    size: int
    record_count: int
    revision: int
    time_us: int
    totals: Totals
    synced: int
    body: memoryview

    def records(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the offset in the segment and the bytes of each record.

        Raises:
            BadFrame: the lengths do not add up.
        """
        place = 0
        for _ in range(self.record_count):
            size = _record_size(self.body, place)
            yield self.offset + HEADER.size + place, self.body[place : place + size]
            place += size
        self._require_end(place)

    def _require_end(self, place: int) -> None:
        if len(self.body) - place >= ALIGNMENT:
            raise BadFrame("the frame has bytes after its last record")


def encode(
    encoded_records: Iterable[Iterable[Buffer]],
    *,
    record_count: int,
    revision: int,
    time_us: int,
    totals: Totals,
    synced: int,
    salt: int,
    offset: int,
) -> tuple[list[Buffer], int]:
    """Return the buffers of a frame to be written at ``offset``, and their total size."""
    return encode_pieces(
        list(chain.from_iterable(encoded_records)),
        record_count=record_count,
        revision=revision,
        time_us=time_us,
        totals=totals,
        synced=synced,
        salt=salt,
        offset=offset,
    )


def encode_pieces(
    encoded: Sequence[Buffer],
    *,
    record_count: int,
    revision: int,
    time_us: int,
    totals: Totals,
    synced: int,
    salt: int,
    offset: int,
) -> tuple[list[Buffer], int]:
    """Do as ``encode`` does, with the buffers of all records in one sequence."""
    content = HEADER.size + sum(map(len, encoded)) + CHECKSUM_SIZE
    padding = -content % ALIGNMENT
    size = content + padding
    header = HEADER.pack(size, record_count, revision, time_us, *totals, synced // ALIGNMENT)
    pieces: list[Buffer] = [header, *encoded, _ZEROS[:padding]]
    seed = frame_seed(salt, offset)
    if size <= _JOIN_BYTES_MAX:
        joined = b"".join(pieces)
        return [joined + checksum(joined, seed).to_bytes(CHECKSUM_SIZE, "little")], size
    for piece in pieces:
        seed = checksum(piece, seed)
    pieces.append(seed.to_bytes(CHECKSUM_SIZE, "little"))
    return pieces, size


def decode(data: memoryview, offset: int, salt: int) -> Frame:
    """Return the frame that starts at the start of ``data``, which is at ``offset`` of the segment.

    Raises:
        BadFrame: there is no whole, legal frame.
    """
    if len(data) < HEADER.size:
        raise BadFrame("there are too few bytes for a frame header")
    size, count, revision, time_us, key_count, value_bytes, synced = HEADER.unpack_from(data)
    if size < SIZE_MIN or size % ALIGNMENT:
        raise BadFrame(f"{size} cannot be the size of a frame")
    if size > len(data):
        raise BadFrame(f"the frame has {size} bytes by its header, but only {len(data)} are left")
    if checksum(data[:size], frame_seed(salt, offset)) != RESIDUE:
        raise BadFrame("the checksum of the frame does not match")
    totals = Totals(key_count, value_bytes)
    body = data[HEADER.size : size - CHECKSUM_SIZE]
    return Frame(offset, size, count, revision, time_us, totals, synced * ALIGNMENT, body)


def search(data: memoryview, offset: int, salt: int) -> Iterator[Frame]:
    """Yield whole frames anywhere in ``data``, behind damage; ``offset`` is the place of ``data``.

    The search tries every multiple of 8. It checks the lengths first, so that it computes the
    checksum at hardly any place where no frame starts.
    """
    place = 0
    while place + SIZE_MIN <= len(data):
        size, count, revision, _, _, _, synced = HEADER.unpack_from(data, place)
        is_plausible = (
            SIZE_MIN <= size <= len(data) - place
            and 0 < count * records.OVERHEAD < size
            and 0 < revision < REVISION_MAX
            and synced * ALIGNMENT <= offset + place
        )
        if is_plausible:
            try:
                frame = decode(data[place:], offset + place, salt)
            except BadFrame:
                pass
            else:
                yield frame
                place += frame.size
                continue
        place += ALIGNMENT


def frame_seed(salt: int, offset: int) -> int:
    """Return the checksum seed of the frame at ``offset`` of the segment with ``salt``."""
    return checksum(_SEED.pack(offset), salt)


def _record_size(body: memoryview, place: int) -> int:
    if place + records.OVERHEAD > len(body):
        raise BadFrame(_TOO_LONG)
    value_size, key_size, meta_size = records.SIZES.unpack_from(body, place)
    size: int = records.OVERHEAD + value_size + key_size + meta_size
    if place + size > len(body):
        raise BadFrame(_TOO_LONG)
    return size
