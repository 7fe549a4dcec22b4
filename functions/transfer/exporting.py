"""Read one snapshot of a store and write it in a format, piece by piece.

An export holds one page of about a mebibyte in memory, whatever the size of the store. It reads all
pages at the moment of the first one. It reads and writes larger values in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from rundlet_server.functions.transfer.writing import Writer
from rundlet_server.storage.bounds import CLOCK_AHEAD_S_MAX
from rundlet_server.storage.interface import Entry, KeyInfo, Page
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.reports import Health
from rundlet_server.storage.timeline import At, Moment

_KEYS_MAX: Final = 1_000
_BYTES_MAX: Final = 1024 * 1024


class Exported(Protocol):
    """What an export needs of a store; see ``storage.interface.Store``."""

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """Return a value; a large one is read later, in pieces."""

    def scan(
        self,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 1_000,
        include_values: bool = False,
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """Return a page of a list."""

    def health(self) -> Health:
        """Return the health of the store."""


class Export:
    """One export; iterate over its pieces.

    Attributes:
        moment: of the snapshot.
    """

    def __init__(self, store: Exported, writer: Writer, *, prefix: str, at: At | None) -> None:
        """Fix the snapshot.

        Raises:
            StoreError: it cannot be read.
        """
        self._store = store
        self._writer = writer
        self._prefix = prefix
        self.moment: Moment = store.scan(prefix=prefix, limit=1, at=at).moment

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            StoreError: the export broke off; the yielded pieces are not the whole.
        """
        if self._writer.head:
            yield self._writer.head
        after: str | None = None
        limit = _KEYS_MAX
        while True:
            try:
                page = self._page(after, limit, _require_small)
            except _TooLarge:
                if limit > 1:
                    limit = max(1, limit // 4)
                    continue
                page = self._page(after, 1, None)
            yield from self._written(page)
            if page.resume is None:
                return
            after = page.resume
            limit = min(_KEYS_MAX, 2 * limit)

    def _page(self, after: str | None, limit: int, admit: Admit | None) -> Page:
        return self._store.scan(
            prefix=self._prefix,
            after=after,
            limit=limit,
            include_values=admit is not None,
            at=self.moment,
            admit=admit,
        )

    def _written(self, page: Page) -> Iterator[bytes]:
        entries = [info.entry for info in page.keys if info.entry is not None]
        if entries:
            yield self._writer.rows(entries)
        else:
            for info in page.keys:
                yield from self._single(info)

    def _single(self, info: KeyInfo) -> Iterator[bytes]:
        found = self._store.peek(info.key, at=self.moment)
        assert found is not None, "the snapshot has the key"
        if isinstance(found, LargeValue):
            found.pieces.verify()
            yield from self._writer.large(found)
        else:
            yield self._writer.rows([found])


class _TooLarge(Exception):
    """The values of a page take too much memory."""


def _require_small(size: int) -> None:
    if size > _BYTES_MAX:
        raise _TooLarge


def clock_ahead_us(store: Exported) -> int:
    """Return how far the store's time is ahead of the clock, in microseconds; 0 if not far.

    A store whose time is far ahead expires no key until the clock has caught up. Exports and
    imports convert times of expiry by this difference: otherwise a store that imports the keys
    would keep them as long, and an import into this store would lose keys.
    """
    ahead_s = store.health().clock_ahead_s or 0.0
    return round(ahead_s * 1_000_000) if ahead_s > CLOCK_AHEAD_S_MAX else 0
