"""Store rows in batches.

What an import does with a key that has a value, is one of three words:

* ``replace``: the row replaces it;
* ``skip``: the row is left out, and counted;
* ``fail``: the import ends before the row.

A row that has expired is left out, and counted as skipped; what its key holds stays. A batch is
stored all or none, except one of many rows that ``Store.load`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rundlet_server.functions.transfer.formats import OnConflict
from rundlet_server.functions.transfer.rows import Rows
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import Conflict
from rundlet_server.storage.interface import Condition, Put, Row, StoreInfo, Txn
from rundlet_server.storage.outcomes.results import Commit

_BULK_ROWS: Final = 65_536
_BULK_BYTES: Final = 6 * 1024 * 1024
"""As many rows or bytes are loaded at once as ``textfile.loading`` does, and for its reasons."""
_TXN_BYTES: Final = 8 * 1024 * 1024


class KeyExists(Exception):
    """A key has a value, and that ends the import.

    Attributes:
        line: of the row.
    """

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"the key {key[:200]!r} has a value already")
        self.line = line


class Imported(Protocol):
    """What an import needs of a store; see ``storage.interface.Store``."""

    @property
    def info(self) -> StoreInfo:
        """What the store is."""

    def commit(self, txn: Txn) -> Commit:
        """Do a transaction."""

    def load(self, rows: Sequence[Row]) -> None:
        """Store many rows."""


class Import:
    """Takes rows as they come, and stores them when there are enough.

    Attributes:
        imported: rows that are stored, and on stable storage as far as the sync policy says.
        skipped: rows that were left out.
        next_line: the line of the first row that is not stored; behind the last of all.
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
            store: takes the rows.
            on_conflict: what to do with a key that has a value.
            ahead_us: see ``exporting.clock_ahead_us``.
            on_stored: called with the number of rows that are done.
        """
        self._store = store
        self._on_conflict = on_conflict
        self._ahead_us = ahead_us
        self._on_stored = on_stored
        self._waiting: list[tuple[Row, int, int | None]] = []
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
        """Take good rows.

        Raises:
            KeyExists, StoreError: what was stored before stays; see ``imported``.
        """
        expires_us = rows.expires_us
        for place, (row, line) in enumerate(zip(rows.rows, rows.lines, strict=True)):
            size = len(row[0]) + len(row[1])
            is_full = len(self._waiting) >= self._rows_max or self._size + size > self._bytes_max
            if self._waiting and is_full:
                self.flush()
            self._waiting.append((row, line, expires_us.get(place) if expires_us else None))
            self._size += size

    def flush(self) -> None:
        """Store what was taken; raises as ``add``."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if not waiting:
            return
        current = self._unexpired(waiting)
        if self._on_conflict is OnConflict.REPLACE:
            self._replace(current)
            self.imported += len(current)
        else:
            self._create(current)
        self.skipped += len(waiting) - len(current)
        self.next_line = waiting[-1][1] + 1
        if self._on_stored:
            self._on_stored(len(waiting))

    def _unexpired(
        self, waiting: list[tuple[Row, int, int | None]]
    ) -> list[tuple[Row, int, int | None]]:
        now_us = system_clock_us()
        return [item for item in waiting if item[2] is None or item[2] > now_us]

    def _replace(self, items: list[tuple[Row, int, int | None]]) -> None:
        """Store rows; of a key that comes twice, the later one."""
        if self._has_load and all(expires_us is None for _, _, expires_us in items):
            if items:
                self._store.load([row for row, _, _ in items])
            return
        newest = {row[0]: (row, expires_us) for row, _, expires_us in items}
        plain = [row for row, expires_us in newest.values() if expires_us is None]
        others = [(row, at) for row, at in newest.values() if at is not None or not self._has_load]
        if plain and self._has_load:
            self._store.load(plain)
        for puts in self._transactions([self._put(row, at) for row, at in others]):
            self._store.commit(Txn(puts))

    def _transactions(self, puts: list[Put]) -> list[list[Put]]:
        limits = self._store.info.limits
        bytes_max = min(_TXN_BYTES, limits.txn_bytes_max)
        batches: list[list[Put]] = []
        size = 0
        for put in puts:
            put_size = len(put.value) + len(put.key.encode())
            is_full = batches and len(batches[-1]) == limits.txn_ops_max
            if not batches or is_full or size + put_size > bytes_max:
                batches.append([])
                size = 0
            batches[-1].append(put)
            size += put_size
        return batches

    def _create(self, items: list[tuple[Row, int, int | None]]) -> None:
        """Store rows whose keys have no value, as one transaction."""
        first: dict[bytes, tuple[Row, int, int | None]] = {}
        repeated = 0
        for place, item in enumerate(items):
            if first.setdefault(item[0][0], item) is not item:
                if self._on_conflict is OnConflict.FAIL:
                    self._create(items[:place])
                    raise KeyExists(item[0][0].decode(), item[1])
                repeated += 1
        left = list(first.values())
        while left:
            puts = [self._put(row, expires_us) for row, _, expires_us in left]
            conditions = [Condition(put.key, exists=False) for put in puts]
            try:
                self._store.commit(Txn(puts, conditions))
            except Conflict as ex:
                failed = {condition.index for condition in ex.failed}
                if self._on_conflict is OnConflict.FAIL:
                    place = min(failed)
                    self._create(left[:place])
                    raise KeyExists(puts[place].key, left[place][1]) from ex
                self.skipped += len(failed)
                left = [item for place, item in enumerate(left) if place not in failed]
            else:
                self.imported += len(left)
                break
        self.skipped += repeated

    def _put(self, row: Row, expires_us: int | None) -> Put:
        key, value, content_type = row
        at = None if expires_us is None else expires_us + self._ahead_us
        return Put(key.decode(), value, content_type, expires_us=at)
