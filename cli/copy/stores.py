"""A store that is opened in this process, as one side of a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Final

from rundlet_server.cli.copy.sides import Change, Commit, Facts, Item, News, older_of
from rundlet_server.cli.place.store import StoreTarget, whole_entry
from rundlet_server.functions.transfer.exporting import clock_ahead_us
from rundlet_server.functions.transfer.importing import Import
from rundlet_server.functions.transfer.rows import Rows
from rundlet_server.storage.errors import InvalidRequest, StoreError
from rundlet_server.storage.interface import Delete, Entry, Op, Page, Put, Txn
from rundlet_server.storage.timeline import At, Event, Retention, Version

_PAGE_KEYS: Final = 1_000
_PAGE_BYTES: Final = 2 * 1024 * 1024
_PAGE_EVENTS: Final = 1_000
_HISTORY: Final = frozenset({"history", "changes"})
_WITH_VALUE: Final = ("put", "restore")


class StoreSide:
    """See ``Side``."""

    def __init__(self, target: StoreTarget) -> None:
        self._store = target.store
        info = target.store.info
        self._ahead_us = clock_ahead_us(target.store)
        self._features = info.features
        self.facts = Facts(
            target.address.shown,
            info.store_id,
            info.limits,
            keeps_history=info.features >= _HISTORY,
            is_read_only=info.read_only,
        )

    def head(self) -> int:
        """See ``Side.head``."""
        return self._store.get_many(()).revision

    def oldest(self) -> int:
        """See ``Side.oldest``."""
        return self._store.stats().oldest_revision

    def key_count(self) -> int:
        """See ``Side.key_count``."""
        return self._store.stats().key_count

    def hold(self, revision: int) -> AbstractContextManager[None]:
        """See ``Side.hold``."""
        return self._store.hold(revision) if self.facts.keeps_history else nullcontext()

    def pages(self, after: str, revision: int | None) -> Iterator[list[Item]]:
        """See ``Side.pages``; larger values make shorter pages."""
        at: At | None = revision if self.facts.keeps_history else None
        limit = _PAGE_KEYS
        last: str | None = after or None
        while True:
            try:
                page = self._page(last, limit, at, bytes_max=_PAGE_BYTES if limit > 1 else None)
            except _TooLarge:
                limit = max(1, limit // 4)
                continue
            at = page.moment
            yield [self._item(info.entry) for info in page.keys if info.entry is not None]
            if page.resume is None:
                return
            last = page.resume
            limit = min(_PAGE_KEYS, 2 * limit)

    def older(self, item: Item) -> list[Item]:
        """See ``Side.older``."""
        before: int | None = None
        found: list[Version] = []
        while True:
            page = self._store.history(item.key, before=before)
            found += page.versions
            before = page.resume
            if before is None:
                return older_of(item, ((v.revision, v.version) for v in found))

    def value_of(self, item: Item) -> Item | None:
        """See ``Side.value_of``."""
        try:
            found = self._store.get_version(item.key, item.version)
        except StoreError:
            return None  # it is no longer kept
        if found is None or found.revision != item.revision:
            return None
        entry = found if isinstance(found, Entry) else whole_entry(found)
        return self._item(entry)

    def changes(self, since: int) -> News:
        """See ``Side.changes``."""
        page = self._store.changes(since, limit=_PAGE_EVENTS, include_values=True)
        commits = [
            Commit(
                revision, events[0].time_us, [each for each in map(self._change, events) if each]
            )
            for revision, events in (
                (revision, list(group))
                for revision, group in groupby(page.events, key=lambda event: event.revision)
            )
        ]
        return News(commits, page.next_since)

    def wait(self, since: int, timeout_s: float) -> None:
        """See ``Side.wait``."""
        self._store.wait(since, timeout_s)

    def put_all(self, items: Sequence[Item]) -> None:
        """See ``Side.put_all``."""
        run = Import(self._store, ahead_us=self._ahead_us)
        rows = [(item.key.encode(), item.value, item.content_type) for item in items]
        expires_us = {
            place: item.expires_us
            for place, item in enumerate(items)
            if item.expires_us is not None
        }
        metadata = {place: item.metadata for place, item in enumerate(items) if item.metadata}
        run.add(Rows(rows, range(len(rows)), expires_us, metadata=metadata))
        run.flush()

    def apply(self, changes: Sequence[Change]) -> None:
        """See ``Side.apply``."""
        ops = [self._op(change) for change in changes]
        if ops:
            self._store.commit(Txn(ops))
        if "erase" in self._features:
            for change in changes:
                if change.is_erased:
                    self._store.erase(change.key)

    def finish(self) -> None:
        """See ``Side.finish``."""
        if "bulk_load" in self._features:
            self._store.finish_load()
        self._store.sync()

    def retention(self) -> tuple[int, float]:
        """See ``Side.retention``."""
        kept = self._store.retention()
        return kept.keep_versions, kept.keep_for_s

    def retain(self, keep_versions: int, keep_for_s: float) -> None:
        """See ``Side.retain``."""
        present = self._store.retention()
        try:
            self._store.retain(Retention(keep_versions, keep_for_s))
        except InvalidRequest:  # etcd keeps history by time only
            self._store.retain(Retention(present.keep_versions, keep_for_s))

    def _page(self, after: str | None, limit: int, at: At | None, *, bytes_max: int | None) -> Page:
        def require_small(size: int) -> None:
            if bytes_max is not None and size > bytes_max:
                raise _TooLarge

        return self._store.scan(
            after=after, limit=limit, include_values=True, at=at, admit=require_small
        )

    def _item(self, entry: Entry) -> Item:
        return Item(
            entry.key,
            entry.value,
            entry.content_type,
            None if entry.expires_us is None else entry.expires_us - self._ahead_us,
            entry.version,
            entry.revision,
            entry.metadata,
        )

    def _change(self, event: Event) -> Change | None:
        if event.kind == "expire":
            return None
        if event.kind not in _WITH_VALUE:
            return Change(event.key, is_erased=event.kind == "erase")
        value = event.value
        if event.is_value_omitted:
            entry = self._store.get(event.key, at=event.revision)
            value = None if entry is None else entry.value
        if value is None:
            return None  # erased since; a later change erases it in TO
        expires_us = None if event.expires_us is None else event.expires_us - self._ahead_us
        about = (event.content_type, expires_us, event.version, event.revision, event.metadata)
        return Change(event.key, Item(event.key, value, *about))

    def _op(self, change: Change) -> Op:
        if change.item is None:
            return Delete(change.key)
        key, value, content_type, expires_us, _, _, metadata = change.item
        at = None if expires_us is None else expires_us + self._ahead_us
        return Put(key, value, content_type, expires_us=at, metadata=metadata)


class _TooLarge(Exception):
    """The values of a page take too much memory."""
