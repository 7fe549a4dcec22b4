"""Take a backup: copy to a backup directory what it does not have yet.

1. Hash the pieces that the place has of a segment, fetch the bytes behind them, and write these as
   new pieces. The hash of all must be that of the source. A segment that has not changed since the
   last backup is skipped.
2. Sync all pieces.
3. Write the index of the backup, and sync it: from here on the backup exists.
4. Remove the pieces that newer ones have taken in.

A process may die between any two of these steps, also in a power cut: the next backup continues
with the pieces that it finds. It trusts them only if the hash of the segment matches. If not, it
removes the pieces that no index covers, and fetches their bytes again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rundlet_server.storage.backups import Backup, BackupFile
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.backup.index import (
    BackupIndex,
    encode,
    is_segment,
    read_index,
)
from rundlet_server.storage.log.backup.names import is_index, piece_name
from rundlet_server.storage.log.backup.pieces import (
    PIECE_BYTES,
    Piece,
    SegmentKey,
    chain_of,
    end_of,
    pieces_in,
    read_range,
)
from rundlet_server.storage.log.backup.places import BackupPlace

Progress = Callable[[int, int], None]
"""Called with the bytes fetched so far and all bytes to fetch."""


class BackupSource(Protocol):
    """A backup that is held, on this machine or on a server."""

    backup: Backup

    def read(self, name: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a file from ``start`` on.

        Raises:
            BackupGone: the lease has ended: take another one and go on.
        """


@dataclass(frozen=True, slots=True)
class Taken:
    """The result.

    Attributes:
        index: of the new backup.
        bytes_fetched: what the place did not have.
        bytes_total: the size of the backup.
    """

    index: BackupIndex
    bytes_fetched: int
    bytes_total: int


class BackupTaker:
    """Takes backups into one place, one after the other.

    It remembers how far it has hashed a segment that grows, so that a process that takes many
    backups reads nothing twice.
    """

    def __init__(self, place: BackupPlace, progress: Progress | None = None) -> None:
        self._place = place
        self._progress = progress or _ignore
        self._hashed: dict[SegmentKey, tuple[int, hashlib._Hash]] = {}
        self._fetched = 0
        self._to_fetch = 0

    def take(self, source: BackupSource) -> Taken:
        """Copy one backup.

        Raises:
            Damaged: the source does not match its hashes, or the pieces in the place are of another
                store.
            BackupGone: see ``BackupSource.read``.
        """
        backup = source.backup
        segments = [file for file in backup.files if is_segment(file.name)]
        sizes = self._place.sizes()
        pieces = pieces_in(sizes)
        chains = {f.name: chain_of(pieces.get((backup.store_id, f.name), ())) for f in segments}
        known = set(self._newest_files(sorted(sizes), backup.store_id))
        self._fetched = 0
        self._to_fetch = sum(max(0, f.size - end_of(chains[f.name])) for f in segments)
        for file in segments:
            if file not in known or end_of(chains[file.name]) < file.size:
                self._copy(source, file, chains[file.name])
        contents = {f.name: _whole(source, f) for f in backup.files if not is_segment(f.name)}
        index = BackupIndex.of(backup, contents)
        self._place.publish(index.name, encode(index))
        self._remove_taken_in()
        return Taken(index, self._fetched, sum(file.size for file in backup.files))

    def _newest_files(self, names: Sequence[str], store_id: str) -> Sequence[BackupFile]:
        """Return the segments of the newest backup of a store that can be read."""
        for name in reversed([name for name in names if is_index(name)]):
            try:
                index = read_index(self._place, name)
            except Damaged:
                continue  # its segments are hashed again
            if index.store_id == store_id:
                return index.files
        return ()

    def _copy(self, source: BackupSource, file: BackupFile, chain: list[Piece]) -> None:
        store_id = source.backup.store_id
        if self._extend(source, file, chain) == file.sha256:
            return
        self._hashed.pop((store_id, file.name), None)
        answered_for = self._answered_for(store_id, file.name)
        for piece in pieces_in(self._place.sizes()).get((store_id, file.name), ()):
            if piece.end > answered_for:
                self._place.remove(piece.name)
        chain = chain_of(pieces_in(self._place.sizes()).get((store_id, file.name), ()))
        if self._extend(source, file, chain) != file.sha256:
            self._hashed.pop((store_id, file.name), None)
            reason = (
                f"its copy of {file.name} differs from the store: one of the two is damaged, or the"
                " store's folder was put back from a copy; take the backup into a new directory"
            )
            raise Damaged(Path(str(self._place)), 0, reason)

    def _answered_for(self, store_id: str, segment: str) -> int:
        """Return up to where an index covers the bytes of a segment."""
        indexes = [read_index(self._place, name) for name in self._place.sizes() if is_index(name)]
        sizes = [
            file.size
            for index in indexes
            for file in index.files
            if index.store_id == store_id and file.name == segment
        ]
        return max(sizes, default=0)

    def _extend(self, source: BackupSource, file: BackupFile, chain: list[Piece]) -> str:
        """Add to a segment what is missing, and return the hash of all of it."""
        key = (source.backup.store_id, file.name)
        have = min(end_of(chain), file.size)
        start, hasher = self._hashed.get(key, (0, hashlib.sha256()))
        # A copy: if the lease ends meanwhile, the remembered hash must stay valid.
        hasher = hasher.copy() if start <= have else hashlib.sha256()
        start = start if start <= have else 0
        for data in read_range(self._place, chain, start, have):
            hasher.update(data)
        first = self._first_taken_in(chain, file.size) if have == end_of(chain) else have
        data = b"".join(read_range(self._place, chain, first, have))
        for fetched in _fetched(source, file, have, PIECE_BYTES - len(data), hasher):
            have += len(fetched)
            self._place.write(piece_name(*key, first, have), data + fetched)
            first, data = have, b""
            self._fetched += len(fetched)
            self._progress(self._fetched, max(self._to_fetch, self._fetched))
        self._hashed[key] = (have, hasher)
        return hasher.hexdigest()

    def _first_taken_in(self, chain: Sequence[Piece], size: int) -> int:
        """Return where the next piece begins: it takes in earlier pieces that are no larger."""
        first = end = end_of(list(chain))
        for piece in reversed(chain):
            added = size - first
            if piece.end != first or piece.end - piece.start > added or added == 0:
                break
            if size - piece.start > PIECE_BYTES or piece.end > end:
                break
            first = piece.start
        return first

    def _remove_taken_in(self) -> None:
        """Remove the pieces of every segment that are not read."""
        for pieces in pieces_in(self._place.sizes()).values():
            read = set(chain_of(pieces))
            for piece in pieces:
                if piece not in read:
                    self._place.remove(piece.name)


def _fetched(
    source: BackupSource, file: BackupFile, start: int, first_size: int, hasher: hashlib._Hash
) -> Iterator[bytes]:
    """Yield a file of a backup from a place on, a piece at a time, and hash each.

    While the caller writes a piece, the next one is fetched and hashed in another thread.

    Raises:
        Damaged: the file is shorter than the source says.
    """

    def fetch(start: int, size: int) -> bytes:
        data = source.read(file.name, start, size)
        hasher.update(data)
        return data

    with ThreadPoolExecutor(1) as ahead:
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        size = first_size
        while start < file.size or waiting:
            if start < file.size:
                size = min(size, file.size - start)
                waiting.append((size, ahead.submit(fetch, start, size)))
                start += size
                size = PIECE_BYTES
            if len(waiting) > 1 or start >= file.size:
                wanted, future = waiting.popleft()
                data = future.result()
                if len(data) != wanted:
                    raise Damaged(Path(file.name), start, f"the file ends before {file.size} bytes")
                yield data


def _whole(source: BackupSource, file: BackupFile) -> bytes:
    """Return a small file of a backup.

    Raises:
        Damaged: it is not what the source says.
    """
    data = source.read(file.name, 0, file.size) if file.size else b""
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise Damaged(Path(file.name), 0, "the file is not as its hash says")
    return data


def _ignore(done: int, total: int) -> None:
    """Do nothing: the caller follows no progress."""
