"""Store rows in batches.

If a key already has a value, the import does one of three things:

* ``replace``: the row replaces the value;
* ``skip``: the row is skipped and counted;
* ``fail``: the import ends before the row.

A row that has expired is skipped and counted; its key keeps its value. A batch is stored as a whole
or not at all, except a batch of many rows that ``Store.load`` stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from rundlet_server.functions.transfer.formats import OnConflict
from rundlet_server.functions.transfer.rows import Rows
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import Conflict
from rundlet_server.storage.interface import Condition, Put, Row, StoreInfo, Txn
from rundlet_server.storage.metadata import NO_METADATA, Metadata, metadata_bytes
from rundlet_server.storage.outcomes.results import Commit

_BULK_ROWS: Final = 65_536
_BULK_BYTES: Final = 6 * 1024 * 1024
"""The largest batch of ``Store.load``; the same as in ``textfile.loading``, for its reasons."""
_TXN_BYTES: Final = 8 * 1024 * 1024


class KeyExists(Exception):
    """A key already has a value, so the import ends.

    Attributes:
        line: of the row.
    """

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"the key {key[:200]!r} has a value already")
        self.line = line


class _Item(NamedTuple):
    """A row to store, with members that ``Store.load`` does not take."""

    row: Row
    line: int
    expires_us: int | None
    metadata: Metadata

    @property
    def is_plain(self) -> bool:
        """Whether ``Store.load`` can store it."""
        return self.expires_us is None and not self.metadata


class Imported(Protocol):
    """What an import needs of a store; see ``storage.interface.Store``."""

    @property
    def info(self) -> StoreInfo:
        """The description of the store."""

    def commit(self, txn: Txn) -> Commit:
        """Commit a transaction."""

    def load(self, rows: Sequence[Row]) -> None:
        """Store many rows."""


class Import:
    """Collects rows and stores them in batches.

    Attributes:
        imported: number of stored rows; whether they are on stable storage depends on the sync
            policy.
        skipped: number of rows that were skipped.
        next_line: the line of the first row that is not stored, or the line after the last row.
    """

    def __init__(
        self,
        store: Imported,
        on_conflict: OnConflict = OnConflict.REPLACE,
        *,
        ahead_us: int = 0,
        on_stored: Callable[[int], None] | None = None,
    ) -> None:
        """Begin an import.

        Args:
            store: stores the rows.
            on_conflict: what to do with a key that has a value.
            ahead_us: see ``exporting.clock_ahead_us``.
            on_stored: called with the number of rows of each stored batch.
        """
        self._store = store
        self._on_conflict = on_conflict
        self._ahead_us = ahead_us
        self._on_stored = on_stored
        self._waiting = Rows()
        self._size = 0
        limits = store.info.limits
        self._has_load = "bulk_load" in store.info.features
        is_bulk = self._has_load and on_conflict is OnConflict.REPLACE
        self._rows_max = _BULK_ROWS if is_bulk else limits.txn_ops_max
        self._bytes_max = _BULK_BYTES if is_bulk else min(_TXN_BYTES, limits.txn_bytes_max)
        self.imported = 0
        self.skipped = 0
        self.next_line = 1

    def add(self, rows: Rows) -> None:
        """Add good rows; store full batches.

        Raises:
            KeyExists, StoreError: rows stored before stay stored; see ``imported``.
        """
        metadata = rows.metadata
        begin = 0
        for place, (key, value, _) in enumerate(rows.rows):
            size = len(key) + len(value)
            if metadata:
                size += metadata_bytes(metadata.get(place, NO_METADATA))
            count = len(self._waiting.rows) + place - begin
            if count and (count >= self._rows_max or self._size + size > self._bytes_max):
                self._waiting.extend(rows, begin, place)
                begin = place
                self.flush()
            self._size += size
        self._waiting.extend(rows, begin, len(rows.rows))

    def flush(self) -> None:
        """Store the rows that were added; raises as ``add`` does."""
        waiting, self._waiting, self._size = self._waiting, Rows(), 0
        if not waiting.rows:
            return
        is_plain = self._has_load and not waiting.expires_us and not waiting.metadata
        if self._on_conflict is not OnConflict.REPLACE:
            self._create(self._unexpired(waiting))
        elif is_plain:
            self._store.load(waiting.rows)
            self.imported += len(waiting.rows)
        else:
            current = self._unexpired(waiting)
            self._replace(current)
            self.imported += len(current)
        self.next_line = waiting.lines[-1] + 1
        if self._on_stored:
            self._on_stored(len(waiting.rows))

    def _unexpired(self, waiting: Rows) -> list[_Item]:
        """Return the rows that have not expired, and count the others as skipped."""
        now_us = system_clock_us()
        expires_us, metadata = waiting.expires_us.get, waiting.metadata.get
        items = [
            _Item(row, line, expires_us(place), metadata(place, NO_METADATA))
            for place, (row, line) in enumerate(zip(waiting.rows, waiting.lines, strict=True))
        ]
        current = [item for item in items if item.expires_us is None or item.expires_us > now_us]
        self.skipped += len(items) - len(current)
        return current

    def _replace(self, items: list[_Item]) -> None:
        """Store rows; if a key comes twice, store the later one."""
        if self._has_load and all(item.is_plain for item in items):
            if items:
                self._store.load([item.row for item in items])
            return
        newest = {item.row[0]: item for item in items}.values()
        plain = [item.row for item in newest if item.is_plain]
        others = [item for item in newest if not (item.is_plain and self._has_load)]
        if plain and self._has_load:
            self._store.load(plain)
        for puts in self._transactions([self._put(item) for item in others]):
            self._store.commit(Txn(puts))

    def _transactions(self, puts: list[Put]) -> list[list[Put]]:
        limits = self._store.info.limits
        bytes_max = min(_TXN_BYTES, limits.txn_bytes_max)
        batches: list[list[Put]] = []
        size = 0
        for put in puts:
            put_size = len(put.value) + len(put.key.encode()) + metadata_bytes(put.metadata)
            is_full = batches and len(batches[-1]) == limits.txn_ops_max
            if not batches or is_full or size + put_size > bytes_max:
                batches.append([])
                size = 0
            batches[-1].append(put)
            size += put_size
        return batches

    def _create(self, items: list[_Item]) -> None:
        """Store rows whose keys have no value, as one transaction."""
        first: dict[bytes, _Item] = {}
        repeated = 0
        for place, item in enumerate(items):
            if first.setdefault(item.row[0], item) is not item:
                if self._on_conflict is OnConflict.FAIL:
                    self._create(items[:place])
                    raise KeyExists(item.row[0].decode(), item.line)
                repeated += 1
        left = list(first.values())
        while left:
            puts = [self._put(item) for item in left]
            conditions = [Condition(put.key, exists=False) for put in puts]
            try:
                self._store.commit(Txn(puts, conditions))
            except Conflict as ex:
                failed = {condition.index for condition in ex.failed}
                if self._on_conflict is OnConflict.FAIL:
                    place = min(failed)
                    self._create(left[:place])
                    raise KeyExists(puts[place].key, left[place].line) from ex
                self.skipped += len(failed)
                left = [item for place, item in enumerate(left) if place not in failed]
            else:
                self.imported += len(left)
                break
        self.skipped += repeated

    def _put(self, item: _Item) -> Put:
        key, value, content_type = item.row
        at = None if item.expires_us is None else item.expires_us + self._ahead_us
        return Put(key.decode(), value, content_type, expires_us=at, metadata=item.metadata)
