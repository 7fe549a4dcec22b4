"""What a log store reads: values, lists and the past, each from one view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rundlet_server.storage.bounds import KEY_BYTES_LIMIT, LARGE_VALUE_BYTES
from rundlet_server.storage.errors import Damaged, LimitExceeded
from rundlet_server.storage.interface import (
    Entry,
    Limits,
    Page,
    Snapshot,
    Stats,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.manifest import FILE_IS_MISSING
from rundlet_server.storage.log.format.record import DELETE, EXPIRE
from rundlet_server.storage.log.read.answers import (
    check_moment,
    key_history,
    key_info,
    live_at,
    moment_of,
    read_many,
    revision_of,
)
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.log.read.expired import ExpiredCounter
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.past import read_version
from rundlet_server.storage.log.read.scan import Cost, Range, list_page
from rundlet_server.storage.log.read.statistics import gauges_of, stats_of
from rundlet_server.storage.log.read.times import moment_at
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.reports import Gauge
from rundlet_server.storage.requests import check_answer, encode_key
from rundlet_server.storage.timeline import At, History, Moment

_Answer = TypeVar("_Answer")


class LogReads:
    """The reads of a log store, over the view that a follower keeps in step with the log."""

    def __init__(
        self, follower: Follower, clock: SharedClock, expired: ExpiredCounter, limits: Limits
    ) -> None:
        self._follower = follower
        self._clock = clock
        self._expired = expired
        self._limits = limits

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
        return self._read(
            None,
            lambda view: key_history(
                view,
                encoded,
                limit=limit,
                before=before,
            ),
        )

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        return stats_of(*self._expired.count())

    def gauges(self) -> Mapping[str, Gauge]:
        """See ``Store.gauges``."""
        return gauges_of(self._follower.current())

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
