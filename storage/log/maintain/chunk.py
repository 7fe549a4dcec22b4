"""A chunk: many puts that fill a whole segment, with its index, without a batch's bookkeeping.

Nearly everything is computed before the store's lock is taken: where each record will be, how the
keys sort, the hash table. Only revisions, versions, times and totals depend on what was committed
last; they are filled in under the lock.

The segment is what commits would have written: frames of up to a thousand records, each a commit
with a revision of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from rundlet_server.storage.checksum import CHECKSUM_SIZE, checksum
from rundlet_server.storage.errors import InvalidKey, LimitExceeded
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.interface import Limits, Row
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.commit_times import CommitPlace, CommitTimes
from rundlet_server.storage.log.format.frame import ALIGNMENT, Totals
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.record import OVERHEAD, PUT, TYPE_CODES, WELL_KNOWN_TYPES
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.index.columns import ROW_DTYPE, ROW_MASK, TAG_SHIFT, Columns, Places
from rundlet_server.storage.log.read.view import Head

FRAME_RECORDS_MAX: Final = 1_000
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Filled:
    """The contents of a segment.

    Attributes:
        buffers: all frames.
        size: of the segment, its header included.
        columns: its index.
        head: the store after it.
        times: its commits.
    """

    buffers: list[Buffer]
    size: int
    columns: Columns
    head: Head
    times: CommitTimes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows on their way into a segment.

    Attributes:
        rows: in order of time; no key twice.
        row_of: the number of each key's row.
        frame_ends: the number of the row behind each frame's last.
        order: of the rows by key.
        columns: their index, as if each row were version 1 of its key, in segment 0, and its
            revision the number of its frame from 0; ``fill`` sets the actual ones.
    """

    rows: Sequence[Row]
    row_of: Mapping[bytes, int]
    frame_ends: list[int]
    order: Places
    columns: Columns

    @classmethod
    def of(cls, rows: Sequence[Row], limits: Limits) -> Chunk | None:
        """Prepare rows; return ``None`` if a key comes twice or a content type is not well known.

        Raises:
            InvalidKey, LimitExceeded: as a commit of the rows would.
        """
        keys = [key for key, _, _ in rows]
        _check(rows, keys, limits)
        types = tuple(dict.fromkeys(content_type for _, _, content_type in rows))
        row_of = {key: row for row, key in enumerate(keys)}
        if len(row_of) < len(keys) or not set(types).issubset(WELL_KNOWN_TYPES):
            return None
        key_sizes = np.fromiter(map(len, keys), np.int64, len(keys))
        values = (value for _, value, _ in rows)
        sizes = OVERHEAD + key_sizes + np.fromiter(map(len, values), np.int64, len(keys))
        frame_ends = list(_frame_ends(sizes, min(FRAME_RECORDS_MAX, limits.txn_ops_max)))
        order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        sorted_keys = [keys[row] for row in order.tolist()]
        numbers = {name: number for number, name in enumerate(types)}

        index_rows = np.zeros(len(rows) + 1, ROW_DTYPE)
        index_rows["key_offset"][1:] = np.cumsum(key_sizes[order])
        filled = index_rows[:-1]
        frame_sizes = np.diff(frame_ends, prepend=0)
        filled["revision"] = np.repeat(np.arange(len(frame_ends)), frame_sizes)[order]
        filled["position"] = _offsets(sizes, frame_ends)[order]
        filled["size"] = sizes[order]
        filled["version"] = 1
        filled["type"] = np.array([numbers[name] for _, _, name in rows], np.uint16)[order]
        filled["flags"] = PUT
        hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, sorted_keys), np.uint64, len(keys))
        columns = Columns(
            index_rows,
            np.frombuffer(b"".join(sorted_keys), np.uint8),
            np.sort(hashes & ~ROW_MASK | np.arange(len(keys), dtype=np.uint64)),
            types,
            np.zeros(0, np.uint32),
            np.zeros(0, np.uint64),
        )
        return cls(rows, row_of, frame_ends, order, columns)

    @property
    def tags(self) -> Places:
        """The tag of each key as in the hash table, ascending."""
        return (self.columns.table >> TAG_SHIFT).astype(np.int64)

    def rows_at(self, places: Places) -> list[int]:
        """Return the rows with the tags at these places."""
        index_rows = (self.columns.table[places] & ROW_MASK).astype(np.int64)
        rows: list[int] = self.order[index_rows].tolist()
        return rows

    def fill(
        self, segment: int, salt: int, head: Head, floor: int, replaced: Mapping[int, Locator]
    ) -> Filled:
        """Encode the chunk, to follow the last commit.

        Args:
            segment: number of the segment.
            salt: of the segment.
            head: the store's, but with the time of the new commits.
            floor: revisions are above it.
            replaced: by row, the newest version of each key that the store has; none has expired.
        """
        first = max(head.revision, floor) + 1
        versions, totals = self._counted(head.totals, replaced)
        times = CommitTimes()
        buffers = list(self._frames(salt, first, head.time_us, versions, totals, times=times))
        index_rows = self.columns.rows.copy()
        index_rows["revision"][:-1] += np.uint64(first)
        index_rows["position"][:-1] += np.uint64(pack_position(segment, 0))
        index_rows["version"][:-1] = versions[self.order]
        columns = Columns(
            index_rows,
            self.columns.keys,
            self.columns.table,
            self.columns.types,
            self.columns.expiry_rows,
            self.columns.expiry_times_us,
        )
        size = HEADER_SIZE + sum(map(len, buffers))
        last = first + len(self.frame_ends) - 1
        return Filled(buffers, size, columns, Head(last, head.time_us, totals[-1]), times)

    def _counted(
        self, before: Totals, replaced: Mapping[int, Locator]
    ) -> tuple[Places, list[Totals]]:
        """Return the version of each row, and the totals after each frame."""
        versions = np.ones(len(self.rows), np.int64)
        key_counts = np.ones(len(self.rows), np.int64)
        value_bytes = np.fromiter((len(value) for _, value, _ in self.rows), np.int64)
        for row, locator in replaced.items():
            if not locator.is_tombstone:
                versions[row] = locator.version + 1
                key_counts[row] = 0
                value_bytes[row] -= locator.value_size
        ends = np.array(self.frame_ends) - 1
        counts = np.cumsum(key_counts)[ends] + before.key_count
        sizes = np.cumsum(value_bytes)[ends] + before.value_bytes
        return versions, list(map(Totals, counts.tolist(), sizes.tolist()))

    def _frames(
        self,
        salt: int,
        revision: int,
        time_us: int,
        versions: Places,
        totals: list[Totals],
        *,
        times: CommitTimes,
    ) -> Iterator[Buffer]:
        """Yield the buffers of all frames, the first of them with this revision; note each."""
        start, offset = 0, HEADER_SIZE
        for number, end in enumerate(self.frame_ends):
            pieces = _encode(
                self.rows[start:end], versions[start:end].tolist(), revision + number, time_us
            )
            buffers, size = frames.encode(
                [pieces],
                record_count=end - start,
                revision=revision + number,
                time_us=time_us,
                totals=totals[number],
                synced=HEADER_SIZE,
                salt=salt,
                offset=offset,
            )
            times.add([CommitPlace(revision + number, time_us, offset)])
            yield from buffers
            start, offset = end, offset + size


def _check(rows: Sequence[Row], keys: Sequence[bytes], limits: Limits) -> None:
    longest = max(map(len, keys))
    if longest > limits.key_bytes_max:
        raise LimitExceeded("key_bytes_max", limits.key_bytes_max, longest)
    if not min(map(len, keys)):
        raise InvalidKey("a key is empty; a key has at least one byte")
    try:
        # One call for all keys: the ASCII byte between two keys keeps an incomplete character at
        # the end of one from being completed by the next.
        b"\0".join(keys).decode()
    except UnicodeDecodeError as ex:
        raise InvalidKey(f"a key is not valid UTF-8: {ex.reason}") from ex
    largest = max(len(value) for _, value, _ in rows)
    if largest > limits.value_bytes_max:
        raise LimitExceeded("value_bytes_max", limits.value_bytes_max, largest)


def _frame_ends(sizes: Places, records_max: int) -> Iterator[int]:
    """Yield the number of the row behind each frame's last; a frame has at least one record."""
    ends = np.cumsum(sizes)
    start = done = 0
    while start < len(sizes):
        fitting = int(np.searchsorted(ends, done + FRAME_BYTES_MAX, side="right"))
        start = max(start + 1, min(start + records_max, fitting))
        done = int(ends[start - 1])
        yield start


def _offsets(sizes: Places, frame_ends: Sequence[int]) -> Places:
    """Return where in the segment each record is, given all records' sizes in order."""
    offsets = np.cumsum(sizes) - sizes
    start, overhead = 0, HEADER_SIZE
    for end in frame_ends:
        overhead += frames.HEADER.size
        body = int(sizes[start:end].sum())
        offsets[start:end] += overhead
        overhead += CHECKSUM_SIZE + -(frames.HEADER.size + body + CHECKSUM_SIZE) % ALIGNMENT
        start = end
    return offsets


def _encode(
    rows: Sequence[Row], versions: Sequence[int], revision: int, time_us: int
) -> list[Buffer]:
    """Return the bytes of a frame's records: ``record.encode`` in a loop that does nothing else."""
    pack = records.HEADER.pack
    pieces: list[Buffer] = []
    for (key, value, content_type), version in zip(rows, versions, strict=True):
        head = pack(
            len(value), len(key), 0, version, PUT, TYPE_CODES[content_type], 0, revision, time_us
        )
        data = head + key + value
        pieces.append(data)
        pieces.append(checksum(data).to_bytes(CHECKSUM_SIZE, "little"))
    return pieces
