"""The log store: our own append-only log behind the ``Store`` interface."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from rundlet_server.storage.bounds import KEY_BYTES_LIMIT, LARGE_VALUE_BYTES
from rundlet_server.storage.errors import Damaged, LimitExceeded, ReadOnly, StoreError
from rundlet_server.storage.interface import (
    Commit,
    Entry,
    Feature,
    Page,
    Row,
    Snapshot,
    Stats,
    StoreInfo,
    Txn,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.log import health
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.manifest import FILE_IS_MISSING
from rundlet_server.storage.log.format.record import DELETE, EXPIRE
from rundlet_server.storage.log.housekeeping import Housekeeper
from rundlet_server.storage.log.maintain.background import Background
from rundlet_server.storage.log.maintain.bulk_load import load_rows
from rundlet_server.storage.log.maintain.maintainer import Maintainer
from rundlet_server.storage.log.read.answers import (
    check_moment,
    key_history,
    key_info,
    live_at,
    moment_of,
    read_many,
    revision_of,
)
from rundlet_server.storage.log.read.past import read_version
from rundlet_server.storage.log.read.scan import Cost, Range, list_page
from rundlet_server.storage.log.read.statistics import gauges_of, stats_of
from rundlet_server.storage.log.read.times import moment_at
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.wiring import open_parts
from rundlet_server.storage.reports import Gauge, Health
from rundlet_server.storage.requests import check_answer, check_retention, check_txn, encode_key
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import At, History, Moment, Retention

_BACKLOG_MAX: Final = 2
"""Sealed segments without an index file at which this process makes an index file itself.

If a maintenance process should make them, it is ``health.BACKLOG_MAX_MAINTAINED``; so memory is
bounded even without that process.
"""
_FEATURES: Final = frozenset[Feature](
    {"history", "retention", "changes", "bulk_load", "compaction"}
)
COMPACTION_NAME: Final = "rundlet-compaction"
"""The name of the thread that does a compaction that was asked for."""

_Answer = TypeVar("_Answer")


class LogStore:
    """A store in a folder. Any number of processes may have the same folder open."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        """Open a folder, or make a new store in it.

        Raises:
            Damaged, UnknownFormat: see ``open.recovery``.
            OSError: the folder cannot be used.
        """
        self._settings = settings
        self._limits = settings.limits
        parts = self._parts = open_parts(folder, settings)
        self._guard = parts.lock.guard
        # Once more by themselves: a read looks up as little as it can.
        self._follower = parts.follower
        self._clock = parts.clock
        self._writer = parts.writer
        self._group_commit = parts.group_commit
        self.changes = parts.feed.changes
        self.expired = parts.feed.expired
        self.waiting = parts.waiting
        self.wait = parts.waiting.wait
        self._maintainer = parts.maintainer
        self.info = _info(settings, parts.follower.view)
        self._compaction = Background(COMPACTION_NAME)
        self._housekeeper = Housekeeper(
            settings,
            follower=parts.follower,
            writer=parts.writer,
            health=parts.health,
            expire_for_waiters=parts.maintainer.expire_for_waiters,
        )

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.get``."""
        try:
            encoded = encode_key(key, self._limits)
        except LimitExceeded as ex:
            encoded = self._old_key(key, ex)
        if at is None:
            # The way of nearly all requests: no revision to stay at, hardly ever a moved file.
            try:
                return self._newest(self._follower.current(), key, encoded)  # type: ignore[return-value] # whole
            except FileNotFoundError:
                pass
        return self._read(at, lambda view: self._entry(view, key, encoded, at))  # type: ignore[return-value] # whole

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """See ``Store.peek``."""
        encoded = self._encode(key)
        if at is None:
            try:
                return self._newest(self._follower.current(), key, encoded, is_whole=False)
            except FileNotFoundError:
                pass
        return self._read(at, lambda view: self._entry(view, key, encoded, at, is_whole=False))

    def get_version(self, key: str, version: int) -> Entry | LargeValue | None:
        """See ``Store.get_version``."""
        encoded = self._encode(key)
        return self._read(None, lambda view: read_version(view, key, encoded, version))

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """See ``Store.get_many``."""
        encoded = [self._encode(key) for key in keys]
        named = dict(zip(encoded, keys, strict=True))

        def read(view: View) -> Snapshot:
            moment = moment_of(view, at, self._clock)
            is_live = live_at(moment)
            locators: dict[bytes, Locator | None] = {}
            sizes: list[int] = []
            for key in named:
                locator = view.find(key, moment.revision)
                if locator is None or not is_live(locator):
                    locators[key] = None
                    sizes.append(len(key))
                else:
                    locators[key] = locator
                    sizes.append(len(key) + locator.value_size)
            if len(named) < len(encoded):
                sizes_by_key = dict(zip(locators, sizes, strict=True))
                sizes = [sizes_by_key[key] for key in encoded]
            check_answer(sizes, self._limits, admit)
            entries = read_many(view, named, locators, is_newest=at is None)
            if len(named) < len(encoded):
                return Snapshot(moment, [entries[key] for key in encoded])
            return Snapshot(moment, list(entries.values()))

        return self._read(at, read)

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``."""
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        check_txn(txn, self._limits, self._encode)
        self._guard.require_own()
        commit = self._group_commit.commit(txn)
        is_inline = self._settings.maintain_inline
        backlog = len(self._follower.view.deltas) - 1
        if backlog >= (_BACKLOG_MAX if is_inline else health.BACKLOG_MAX_MAINTAINED):
            # The commit stands even if this fails; the next one tries again.
            with contextlib.suppress(StoreError, OSError):
                self._maintainer.checkpoint(wait=False)
        return commit

    def load(self, rows: Sequence[Row]) -> None:
        """See ``Store.load``."""
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        self._guard.require_own()
        load_rows(rows, self._settings, self._maintainer.load, self.commit)
        if self._settings.sync != "always":
            self.sync()

    def finish_load(self) -> None:
        """See ``Store.finish_load``: merge its index files, as a read looks into each of them."""
        self._guard.require_own()
        # What was loaded stands even if this fails; maintenance tries again.
        with contextlib.suppress(StoreError, OSError):
            self._maintainer.checkpoint(wait=False)

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        after: str | None = None,
        limit: int = 1_000,
        reverse: bool = False,
        delimiter: str | None = None,
        include_values: bool = False,
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """See ``Store.scan``."""
        wanted = Range.of(prefix, start, end, reverse=reverse).resumed(after, delimiter)

        def read(view: View) -> Page:
            moment = moment_of(view, at, self._clock)
            found = list_page(
                view,
                wanted,
                limit=limit,
                delimiter=delimiter,
                at=moment.revision,
                is_live=live_at(moment),
                cost=Cost(include_values, self._limits.answer_bytes_max),
            )
            if admit is not None and include_values:
                admit(found.size)
            keys = [key_info(view, key, locator, include_values) for key, locator in found.keys]
            return Page(moment, keys, found.prefixes, found.resume)

        return self._read(at, read)

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        """See ``Store.count``; without arguments it costs nothing."""
        if at is None and not prefix and start is None and end is None:
            return self.stats().key_count
        wanted = Range.of(prefix, start, end, reverse=False)

        def read(view: View) -> int:
            moment = moment_of(view, at, self._clock)
            found = wanted.scan(view, moment.revision)
            return sum(map(live_at(moment), (locator for _, locator in found)))

        return self._read(at, read)

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``."""
        return self._read(None, lambda view: moment_at(view, time_us, self._clock.now_us()))

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """See ``Store.history``."""
        encoded = self._encode(key)
        return self._read(None, lambda view: key_history(view, encoded, limit=limit, before=before))

    def retention(self) -> Retention:
        """See ``Store.retention``."""
        return self._follower.refresh().manifest.retention

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``."""
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        check_retention(retention)
        self._guard.require_own()
        self._writer.retain(retention)

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        return stats_of(*self._parts.expired.count())

    def gauges(self) -> Mapping[str, Gauge]:
        """See ``Store.gauges``."""
        return gauges_of(self._follower.current())

    def compact(self, *, wait: bool = False) -> None:
        """See ``Store.compact``."""
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        self._guard.require_own()
        if wait:
            self._maintainer.compact(thorough=True)
        elif self._settings.maintain_inline:
            self._compaction.request(self._compact_quietly)
        else:
            self._parts.commit_page.compactions_wanted += 1

    def sync(self) -> None:
        """See ``Store.sync``; a store that is only read has nothing to sync."""
        if not self._settings.is_read_only:
            self._writer.sync()

    @property
    def maintainer(self) -> Maintainer:
        """Checkpoints, compaction and expiry of this folder, for the process that maintains it."""
        return self._maintainer

    def health(self) -> Health:
        """See ``Store.health``."""
        self._guard.require_own()
        return self._parts.health.health(self._follower.view)

    def close(self) -> None:
        """See ``Store.close``; in a forked child the store is the parent's, and stays open."""
        if self._guard.is_inherited or not self._housekeeper.stop():
            return
        self._compaction.join()
        if self._settings.sync == "interval":
            self.sync()
        self._parts.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "an open store cannot be sent to a process; send its folder, and open it there"
        raise TypeError(message)

    def _encode(self, key: str) -> bytes:
        """Encode a key that is to be read or deleted: it may be older than a limit."""
        try:
            return encode_key(key, self._limits)
        except LimitExceeded as ex:
            return self._old_key(key, ex)

    def _old_key(self, key: str, refusal: LimitExceeded) -> bytes:
        """Return a key that was written under a higher limit; raise ``refusal`` if there is none.

        Lists hold such a key, so it can be read, and deleted.
        """
        encoded = key.encode()
        if len(encoded) > KEY_BYTES_LIMIT or self._follower.current().find(encoded) is None:
            raise refusal
        return encoded

    def _read(self, at: At | None, read: Callable[[View], _Answer]) -> _Answer:
        """Read from a view; read again from a newer one if compaction has moved what it needs."""
        view = self._follower.current()
        while True:
            check_moment(view, at)
            try:
                return read(view)
            except FileNotFoundError as ex:
                generation = view.manifest.generation
                view = self._follower.reload()
                if view.manifest.generation == generation:
                    raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex

    def _newest(
        self, view: View, key: str, encoded: bytes, *, is_whole: bool = True
    ) -> Entry | LargeValue | None:
        """Return the value of a key at the head, from the cache if that still holds it."""
        entry = view.cache.get(encoded)
        if entry is not None:
            newer = view.deltas[0].rows.get(encoded)
            if newer is None or newer.revision == entry.revision:
                is_due = entry.expires_us and entry.expires_us <= self._clock.now_us()
                return None if is_due else entry
        found = self._entry(view, key, encoded, None, is_whole=is_whole)
        if found is not None and type(found) is Entry:
            view.cache.put(encoded, found)
        return found

    def _entry(
        self, view: View, key: str, encoded: bytes, at: At | None, *, is_whole: bool = True
    ) -> Entry | LargeValue | None:
        locator = view.find(encoded, None if at is None else revision_of(at))
        if locator is None or locator.kind in (DELETE, EXPIRE):
            return None
        if locator.expires_us and locator.expires_us <= self._judging_us(view, at):
            return None
        if is_whole or locator.value_size <= LARGE_VALUE_BYTES:
            return view.read_entry(key, encoded, locator)
        return view.peek(key, encoded, locator)

    def _judging_us(self, view: View, at: At | None) -> int:
        """Return the time that decides what has expired; only then is it looked up."""
        return moment_of(view, at, self._clock).time_us

    def _compact_quietly(self) -> None:
        try:
            self._maintainer.compact(thorough=True)
        except (StoreError, OSError) as ex:
            self._writer.failure = f"compaction failed: {ex}"


def _info(settings: StoreSettings, view: View) -> StoreInfo:
    """Return what does not change while the store is open."""
    return StoreInfo(
        "log",
        view.manifest.store_id.hex(),
        settings.is_read_only,
        settings.limits,
        {
            "sync": settings.sync,
            "sync_interval_s": settings.sync_interval_s,
            "segment_bytes_max": settings.segment_bytes_max,
            "segment_records_max": settings.segment_records_max,
            "cache_bytes_max": settings.cache_bytes_max,
        },
        _FEATURES,
    )
