"""The frames of a batch: encoded for the end of the log, and not written yet."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from rundlet_server.storage.files import Buffer
from rundlet_server.storage.interface import Txn
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.manifest import METADATA, OUTCOMES
from rundlet_server.storage.log.format.record import OUTCOME, TOMBSTONES, Record
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.log.write.plain_puts import plain_puts
from rundlet_server.storage.outcomes.results import Commit


class PendingFrames:
    """Frames that are to be appended at the end of a view's log.

    Attributes:
        buffers: the bytes of all frames.
        entries: key and locator of every record in them, in order.
        commits: of every frame, in order, the fields of a ``CommitPlace``.
        head: the state of the store after them.
        size: bytes of all frames.
        needs: what a release must know to read the records, see ``Manifest``.
    """

    def __init__(self, view: View, *, salt: int, now_us: int, synced: int) -> None:
        """Begin with no frame; the arguments are those of ``Batch``."""
        self._view = view
        self._salt = salt
        self._synced = synced
        active = view.active
        self._start = active.offset
        self._first_position = pack_position(active.segment, active.offset + frames.HEADER.size)
        self._revision_before = view.head.revision
        self._revision = max(view.head.revision, view.manifest.revision_floor)
        self._encoded: list[bytes | list[Buffer]] = []  # one for each of the entries
        self._newest: dict[bytes, Locator | None] = {}
        self.buffers: list[Buffer] = []
        self.entries: list[tuple[bytes, Locator]] = []
        self.commits: list[tuple[int, int, int]] = []
        self.size = 0
        self.needs: set[str] = set()
        self.head = Head(view.head.revision, now_us, view.head.totals)

    @property
    def next_revision(self) -> int:
        """The revision of the next frame."""
        return self._revision + 1

    def latest(self, key: bytes) -> Locator | None:
        """Return the newest version of a key, in these frames or before."""
        if key not in self._newest:
            self._newest[key] = self._view.find(key)
        return self._newest[key]

    def versions(self, key: bytes) -> Iterator[Locator]:
        """Yield all versions of a key, newest first, as ``View.versions`` does."""
        pending = self._newest.get(key)
        while pending is not None and self._holds(pending):
            yield pending
            pending = pending.previous
        yield from self._view.versions(key)

    def read(self, key: bytes, locator: Locator) -> Record:
        """Return the record at a locator; raises what ``View.read`` raises."""
        if not self._holds(locator):
            return self._view.read(key, locator)
        encoded = self._encoded[
            bisect_left(self.entries, locator.position, key=lambda entry: entry[1].position)
        ]
        data = encoded if isinstance(encoded, bytes) else b"".join(encoded)
        return records.decode(data, verify=False)

    def add_plain(
        self, txns: Sequence[Txn], start: int, accepts: Callable[[int], bool] | None
    ) -> list[Commit]:
        """Decide transactions of nothing but plain puts, and add a frame of each.

        Args:
            txns: the transactions; the ones before ``start`` are skipped.
            start: the place of the first one to decide.
            accepts: returns whether the disk has space for a size in bytes; ``None`` if it has
                plenty.

        Returns:
            The commits, up to the first transaction that is not plain puts or cannot be done.
        """
        newest, find, published = self._newest, self._view.finder(), self._revision_before
        first_offset, first_position, size = self._start, self._first_position, self.size
        revision, time_us, totals = self._revision, self.head.time_us, self.head.totals
        commits: list[Commit] = []
        for place in range(start, len(txns)):
            txn = txns[place]
            if txn.conditions or txn.idempotency is not None or not txn.then:
                break
            try:
                puts = plain_puts(
                    txn.then,
                    newest,
                    find,
                    revision=revision + 1,
                    time_us=time_us,
                    position=first_position + size,
                    totals=totals,
                    published=published,
                )
            except Exception:
                break  # for example an index file is damaged: ``Batch.add`` meets it again
            if puts is None:
                break
            entries, encoded, totals_then, results = puts
            if accepts is not None and not accepts(size + sum(map(len, encoded))):
                break
            revision, totals, offset = revision + 1, totals_then, first_offset + size
            buffers, frame_size = frames.encode_pieces(
                encoded,
                record_count=len(encoded),
                revision=revision,
                time_us=time_us,
                totals=totals,
                synced=self._synced,
                salt=self._salt,
                offset=offset,
            )
            newest.update(entries)
            self._encoded += encoded
            self.entries += entries
            self.commits.append((revision, time_us, offset))
            self.buffers += buffers
            size += frame_size
            commits.append(Commit(True, revision, results))
        if commits:
            self._revision, self.size = revision, size
            self.head = Head(revision, time_us, totals)
        return commits

    def add(self, written: Sequence[Record]) -> None:
        """Add one frame with these records, whose revision is the next one."""
        position = self._next_position()
        key_count, value_bytes = self.head.totals
        entries: list[tuple[bytes, Locator]] = []
        encoded: list[list[Buffer]] = []
        for record in written:
            key, value, kind, revision, version, _, content_type, expires_us, metadata = record
            value_size = len(value)
            previous = self.latest(key)
            if previous is not None:
                if previous.kind not in TOMBSTONES:
                    key_count -= 1
                    value_bytes -= previous.value_size
                if not self._holds(previous):
                    previous = None
            if kind not in TOMBSTONES:
                key_count += 1
                value_bytes += value_size
            if metadata or kind == OUTCOME:
                self.needs.add(METADATA if metadata else OUTCOMES)
            pieces = records.encode(record)
            encoded.append(pieces)
            size = sum(map(len, pieces))
            locator = self._newest[key] = Locator(
                revision,
                position,
                size,
                value_size,
                version,
                kind,
                content_type,
                expires_us,
                previous,
            )
            entries.append((key, locator))
            position += size
        self._encoded += encoded
        self._add_frame(entries, encoded, Totals(key_count, value_bytes))

    def _add_frame(
        self,
        entries: Sequence[tuple[bytes, Locator]],
        encoded: Iterable[Iterable[Buffer]],
        totals: Totals,
    ) -> None:
        offset = self._start + self.size
        time_us = self.head.time_us
        self._revision += 1
        self.head = Head(self._revision, time_us, totals)
        buffers, size = frames.encode(
            encoded,
            record_count=len(entries),
            revision=self._revision,
            time_us=time_us,
            totals=totals,
            synced=self._synced,
            salt=self._salt,
            offset=offset,
        )
        self.entries += entries
        self.commits.append((self._revision, time_us, offset))
        self.buffers += buffers
        self.size += size

    def _next_position(self) -> int:
        """Return where the first record of the next frame will be."""
        return self._first_position + self.size

    def _holds(self, locator: Locator) -> bool:
        """Return whether a version is in these frames, and not in the view yet."""
        return locator.revision > self._revision_before
