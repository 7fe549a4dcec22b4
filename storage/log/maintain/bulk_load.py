"""Bulk load: a chunk of rows becomes a sealed segment with its index file in one step.

Commits go through the memory of every process first (``delta``) and are indexed later. For many
rows at once that is a detour: a bulk load writes the whole segment, its index file beside it, and
one change of the manifest installs both. Other processes take them over with that manifest and
replay nothing.

1. look up the keys in the index files, and then, under the store's lock, in the deltas;
   seal and index what these hold: no delta may be older than an index file;
2. write the frames into the active, empty segment, behind what is published, and sync;
3. write the index file, and make its name durable;
4. roll (``rolling``): the manifest seals the segment and names its index file.

A process that dies before it has written the manifest of step 4 leaves bytes that the next writer
truncates and an orphaned index file. After a restart of the machine, whole frames may stay that
were never published: each is a commit whose outcome was never reported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.interface import Limits, Put, Row, Txn
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import VERSION_MAX
from rundlet_server.storage.log.maintain.checkpoint import Checkpointer
from rundlet_server.storage.log.maintain.chunk import FRAME_BYTES_MAX, FRAME_RECORDS_MAX, Chunk
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.settings import StoreSettings

_WAITING_MAX: Final = 4_096
"""At most this many records are indexed while every writer waits."""
_ROWS_MIN: Final = 4_096
"""Fewer rows than this are not worth a segment and an index file of their own."""


def load_rows(
    rows: Sequence[Row],
    settings: StoreSettings,
    load: Callable[[Chunk], bool],
    commit: Callable[[Txn], Commit],
) -> None:
    """Store rows as chunks as far as that is possible and worth it, else by commits.

    Args:
        rows: in order of time.
        settings: of the store.
        load: stores a chunk, see ``BulkLoader.load``.
        commit: of the store.
    """
    rows_max = settings.segment_records_max
    for start in range(0, len(rows), rows_max):
        part = rows[start : start + rows_max]
        is_worth_it = len(part) >= min(_ROWS_MIN, rows_max)
        chunk = Chunk.of(part, settings.limits) if is_worth_it else None
        if chunk is None or not load(chunk):
            for puts in transactions(part, settings.limits):
                commit(Txn(puts))


def transactions(rows: Iterable[Row], limits: Limits) -> Iterator[list[Put]]:
    """Yield the same rows as commits; if a key comes twice in one of them, the later row wins."""
    puts_max = min(FRAME_RECORDS_MAX, limits.txn_ops_max)
    bytes_max = min(FRAME_BYTES_MAX, limits.txn_bytes_max)
    puts: dict[bytes, Put] = {}
    size = 0
    for key, value, content_type in rows:
        row_size = len(key) + len(value)
        if len(puts) == puts_max or (puts and size + row_size > bytes_max):
            yield list(puts.values())
            puts, size = {}, 0
        puts[key] = Put(key.decode(), value, content_type)
        size += row_size
    if puts:
        yield list(puts.values())


class BulkLoader:
    """Loads chunks; the caller holds the maintenance lock."""

    def __init__(self, *, follower: Follower, writer: Writer, checkpointer: Checkpointer) -> None:
        self._follower = follower
        self._writer = writer
        self._checkpointer = checkpointer

    def load(self, chunk: Chunk) -> bool:
        """Store a chunk, durably; do nothing and return false if only commits can store it.

        Raises:
            Unavailable, DiskFull: certainly not applied.
            OutcomeUnknown: the disk failed; some or all rows may be stored.
        """
        try:
            replaced = self._find_replaced(chunk)
        except OSError as ex:
            raise Unavailable(f"the disk failed ({ex.strerror}); nothing was stored") from ex
        with self._writer.exclusive() as view:
            if view.unindexed_count > _WAITING_MAX:
                return False
            replaced |= _committed_since(view, chunk)
            now_us = self._writer.time_us(view)
            if any(_needs_commit(locator, now_us) for locator in replaced.values()):
                return False
            self._append(self._index_waiting(view), chunk, now_us, replaced)
            return True

    def _find_replaced(self, chunk: Chunk) -> dict[int, Locator]:
        """Index most commits, then return the versions of the chunk's keys in the index files."""
        if self._follower.refresh().unindexed_count > _WAITING_MAX:
            # If this fails, the rows are stored by commits, which report the failure if it lasts.
            with contextlib.suppress(StoreError, OSError):
                self._writer.seal()
                self._checkpointer.checkpoint()
        return _indexed(self._follower.refresh(), chunk)

    def _append(
        self, view: View, chunk: Chunk, now_us: int, replaced: Mapping[int, Locator]
    ) -> None:
        """Fill the active segment, which is empty, with the chunk, and seal it."""
        filled = chunk.fill(
            view.active.segment,
            view.segment(view.active.segment).header.salt,
            Head(view.head.revision, now_us, view.head.totals),
            view.manifest.revision_floor,
            replaced,
        )
        self._writer.write_sealed(
            view,
            filled.buffers,
            record_count=len(chunk.rows),
            head=filled.head,
            make_index=lambda: self._checkpointer.index(
                view, filled.columns, filled.times, view.active.segment
            ),
        )

    def _index_waiting(self, view: View) -> View:
        """Index earlier commits, so that the active segment and all deltas are empty."""
        if view.active.record_count:
            view = self._writer.roll(view)
        for delta in view.deltas[:0:-1]:
            view = self._checkpointer.index_delta(view, delta)
        return view


def _indexed(view: View, chunk: Chunk) -> dict[int, Locator]:
    """Return the newest versions of the chunk's keys in the index files, by row.

    This is the long part, and no writer waits for it: the maintenance lock is held, so that no
    other index files come meanwhile.
    """
    tags = chunk.tags
    found: dict[int, Locator] = {}
    for index in view.indexes:
        for row in chunk.rows_at(np.flatnonzero(index.has_tags(tags))):
            if row not in found:
                locator = index.find(chunk.rows[row][0], None)
                if locator is not None:
                    found[row] = locator
    return found


def _committed_since(view: View, chunk: Chunk) -> dict[int, Locator]:
    """Return the newest versions of the chunk's keys in the deltas, by row."""
    return {
        chunk.row_of[key]: locator
        for delta in reversed(view.deltas)
        for key, locator in delta.rows.items()
        if key in chunk.row_of
    }


def _needs_commit(locator: Locator, now_us: int) -> bool:
    """Return whether only a commit can replace a version.

    An expiry is an event of its own; the last version of all cannot be replaced.
    """
    return 0 < locator.expires_us <= now_us or locator.version == VERSION_MAX
