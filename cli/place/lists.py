"""Lists of keys of a store opened in this process, as records of the client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

import rundlet_server.storage.interface as engine
from rundlet import KeyInfo, Value
from rundlet.keys import key_bytes
from rundlet_server.cli.place.past import StorePast, moment_of_us
from rundlet_server.storage.selecting.deletion import Deletion
from rundlet_server.storage.selecting.globs import Glob
from rundlet_server.storage.selecting.matching import (
    Selected,
    Wanted,
    count_selected,
    matching_page,
)
from rundlet_server.storage.timeline import Moment

_PAGE_KEYS: Final = 1_000
_BATCH_BYTES_MAX: Final = 8 * 1024 * 1024


class StoreLists(StorePast):
    """The methods of ``StoreTarget`` on a range of keys, and on one key without its value."""

    def head(self, key: str) -> KeyInfo | None:
        """Return the details of a key's value, without its bytes; ``None`` if it has none."""
        key_bytes(key)
        # A key is the first of all keys that begin with it.
        first = next(self.scan(prefix=key, limit=1), None)
        return first if first is not None and first.key == key else None

    def exists(self, key: str) -> bool:
        """Return whether a key has a value."""
        return self.head(key) is not None

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        match: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        delimiter: str | None = None,
        values: bool = False,
        meta: bool = False,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> Iterator[KeyInfo]:
        """Yield keys in order, from one snapshot."""
        left = limit
        after: str | None = None
        moment = self.at_of(revision, at)
        selected = Selected(prefix, _glob(match, prefix), start, end)
        while left != 0:
            wanted = Wanted(
                limit=_PAGE_KEYS if left is None else min(left, _PAGE_KEYS),
                after=after,
                reverse=reverse,
                include_metadata=meta,
                at=moment,
            )
            page = self._page(selected, wanted, delimiter)
            infos = _infos(page, reverse=reverse)
            yield from self._with_values(infos, page.moment) if values else infos
            left = None if left is None else left - len(infos)
            after, moment = page.resume, page.moment
            if after is None:
                return

    def count(self, *, prefix: str = "", match: str | None = None) -> int:
        """Return the number of keys."""
        return count_selected(self.store, Selected(prefix, _glob(match, prefix)))

    def delete_prefix(self, prefix: str, *, match: str | None = None, expect: int) -> int:
        """Remove all keys with a prefix in one transaction, and return how many there were."""
        deletion = Deletion(self.store, Selected(prefix, _glob(match, prefix)), expect)
        return len(deletion.at_once())

    def _page(self, selected: Selected, wanted: Wanted, delimiter: str | None) -> engine.Page:
        if selected.glob is not None:
            return matching_page(self.store, selected, selected.glob, wanted)
        return self.store.scan(
            prefix=selected.prefix,
            start=selected.start,
            end=selected.end,
            reverse=wanted.reverse,
            delimiter=delimiter,
            after=wanted.after,
            include_metadata=wanted.include_metadata,
            at=wanted.at,
            limit=wanted.limit,
        )

    def _with_values(self, infos: list[KeyInfo], moment: Moment) -> Iterator[KeyInfo]:
        for batch in _batches(infos):
            keys = [info.key for info in batch if not info.is_prefix]
            entries = iter(self.store.get_many(keys, at=moment).entries)
            for info in batch:
                if info.is_prefix:
                    yield info
                elif (entry := next(entries)) is not None:
                    yield replace(info, value=value_of(entry))


def value_of(entry: engine.Entry) -> Value:
    """Return a value with its bytes."""
    expires_us = entry.expires_us
    return Value(
        key=entry.key,
        data=entry.value,
        revision=entry.revision,
        version=entry.version,
        content_type=entry.content_type,
        expires=None if expires_us is None else moment_of_us(expires_us),
        modified=moment_of_us(entry.time_us),
        meta=dict(entry.metadata),
    )


def _glob(match: str | None, prefix: str) -> Glob | None:
    return None if match is None else Glob(match, len(prefix))


def _infos(page: engine.Page, *, reverse: bool) -> list[KeyInfo]:
    infos = [
        KeyInfo(
            *(k.key, k.revision, k.version, k.size, k.content_type),
            time=moment_of_us(k.time_us),
            expires=None if k.expires_us is None else moment_of_us(k.expires_us),
            meta=dict(k.metadata),
        )
        for k in page.keys
    ]
    prefixes = [KeyInfo(prefix, is_prefix=True) for prefix in page.prefixes]
    if not prefixes:
        return infos
    return sorted(infos + prefixes, key=lambda info: info.key.encode(), reverse=reverse)


def _batches(infos: list[KeyInfo]) -> Iterator[list[KeyInfo]]:
    """Yield runs of keys whose values fit into memory together."""
    batch: list[KeyInfo] = []
    size = 0
    for info in infos:
        if batch and size + info.size > _BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(info)
        size += info.size
    if batch:
        yield batch
