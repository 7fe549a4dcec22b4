"""What a log store reads: values, lists and the past, each from one view."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.interface import (
    Entry,
    Page,
    Snapshot,
    Stats,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import OVERHEAD, VALUES
from rundlet_server.storage.log.read.answers import (
    key_info,
    live_at,
    moment_of,
    read_many,
    revision_of,
    with_metadata,
)
from rundlet_server.storage.log.read.keys import KnownKeys
from rundlet_server.storage.log.read.pages import count_lines, infos_of, read_lines, suits_lines
from rundlet_server.storage.log.read.scan import Cost, list_page, scan_range
from rundlet_server.storage.log.read.statistics import gauges_of, stats_of
from rundlet_server.storage.log.read.view import NotPlain, View
from rundlet_server.storage.log.timeline import LogTimeline
from rundlet_server.storage.log.wiring import Parts
from rundlet_server.storage.ranges import Range
from rundlet_server.storage.reports import Gauge
from rundlet_server.storage.requests import check_answer, shown_bytes
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import At, Moment

_LOOK_CLOSER: Final = (FileNotFoundError, NotPlain, UnicodeEncodeError)
"""What ``LogReads._newest`` raises if only the slow path can read the key."""

# These take less time than ``attrgetter``, and much less than a loop.
_VALUE, _REVISION, _EXPIRES_US, _METADATA = (
    itemgetter(Entry._fields.index(name))
    for name in ("value", "revision", "expires_us", "metadata")
)
_SIZE: Final = 2
"""Where a place has its size."""


class LogReads:
    """The reads of a log store, over the view that a follower keeps in step with the log."""

    def __init__(
        self, parts: Parts, timeline: LogTimeline, keys: KnownKeys, settings: StoreSettings
    ) -> None:
        # Attributes of their own, so that a read looks up as little as possible.
        self._follower = parts.follower
        self._clock = parts.clock
        self._expired = parts.expired
        self._limits = settings.limits
        self._key_bytes_max = settings.limits.key_bytes_max
        self._has_cache = settings.cache_bytes_max > 0
        self._keys = keys
        self._encode = keys.encode
        self._read = timeline.read

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.get``."""
        if at is None:
            # The fast path of nearly all requests: the newest revision, a plain value, no moved
            # file.
            try:
                return self._newest(key)
            except _LOOK_CLOSER:
                pass
        return self._any(key, at, is_whole=True)  # type: ignore[return-value] # whole

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """See ``Store.peek``."""
        if at is None:
            try:
                return self._newest(key)
            except _LOOK_CLOSER:
                pass
        return self._any(key, at, is_whole=False)

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """See ``Store.get_many``."""
        if at is None:
            try:
                return self._newest_of_many(keys, admit)
            except _LOOK_CLOSER:
                pass
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
                    sizes.append(locator.size - OVERHEAD)
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
        include_metadata: bool = False,
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """See ``Store.scan``."""
        wanted = Range.of(prefix, start, end, reverse=reverse).resumed(after, delimiter)

        def read(view: View) -> Page:
            moment = moment_of(view, at, self._clock)
            cost = Cost(include_values, self._limits.answer_bytes_max, include_metadata)
            if (
                delimiter is None
                and (include_values or not include_metadata)
                and suits_lines(view, wanted, limit, moment.revision)
            ):
                lines, resume = read_lines(view, wanted, limit, moment, cost)
                if admit is not None and include_values:
                    admit(sum(lines.sizes) - OVERHEAD * len(lines.sizes))
                return Page(moment, infos_of(view, lines, cost), [], resume)
            found = list_page(
                view,
                wanted,
                limit=limit,
                delimiter=delimiter,
                at=moment.revision,
                is_live=live_at(moment),
                cost=cost,
            )
            if admit is not None and (include_values or include_metadata):
                admit(found.size)
            keys = [key_info(view, key, locator, include_values) for key, locator in found.keys]
            if include_metadata:
                keys = with_metadata(view, keys, [locator for _, locator in found.keys])
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
            if suits_lines(view, wanted, sys.maxsize, moment.revision):
                return count_lines(view, wanted, moment)
            found = scan_range(wanted, view, moment.revision)
            return sum(map(live_at(moment), (locator for _, locator in found)))

        return self._read(at, read)

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        return stats_of(*self._expired.count())

    def gauges(self) -> Mapping[str, Gauge]:
        """See ``Store.gauges``."""
        return gauges_of(self._follower.current())

    def peek_cached(self, key: str) -> Entry | None:
        """Do as ``peek`` does at the head, but never wait for a disk to read a record.

        Raises:
            BlockingIOError: the read might have to wait, or the value is large or not plain.
        """
        try:
            return self._newest(key, may_wait=False)
        except _LOOK_CLOSER as ex:
            raise BlockingIOError from ex

    def _newest(self, key: str, *, may_wait: bool = True) -> Entry | None:
        """Return the value of a key at the head, from the cache if that still holds it.

        Args:
            key: of any length.
            may_wait: for a disk; otherwise ``BlockingIOError`` is raised instead.

        Raises:
            FileNotFoundError, NotPlain, UnicodeEncodeError: ``_any`` finds out what the key has.
        """
        encoded = key.encode()
        if not 0 < len(encoded) <= self._key_bytes_max:
            raise NotPlain
        view = self._follower.current()
        has_cache = self._has_cache
        entry = view.cached(encoded) if has_cache else None
        if entry is None:
            place = view.newest(encoded)
            if place is None:
                return None
            entry = view.read_place(key, encoded, place, may_wait=may_wait)
            if has_cache:
                view.cache.put(encoded, entry)
        is_due = entry.expires_us and entry.expires_us <= self._clock.now_us()
        return None if is_due else entry

    def get_many_cached(self, keys: Sequence[str], bytes_max: int) -> Snapshot:
        """Do as ``get_many`` does at the head, but never wait for a disk to read a record.

        Raises:
            BlockingIOError: the read might have to wait, or the values are larger than
                ``bytes_max`` together, or one is not plain.
        """

        def admit(size: int) -> None:
            if size > bytes_max:
                raise BlockingIOError

        try:
            return self._newest_of_many(keys, admit, may_wait=False)
        except _LOOK_CLOSER as ex:
            raise BlockingIOError from ex

    def _newest_of_many(
        self, keys: Sequence[str], admit: Admit | None, *, may_wait: bool = True
    ) -> Snapshot:
        """Return the values of many keys at the head; the arguments are as for ``_newest``.

        Raises:
            FileNotFoundError, NotPlain, UnicodeEncodeError: a closer look finds out what the keys
                have.
        """
        encoded = self._plain(keys)
        view = self._follower.current()
        moment = moment_of(view, None, self._clock)
        has_cache = self._has_cache
        nothing: list[Entry | None] = [None] * len(encoded)
        found = view.cached_many(encoded) if has_cache else nothing
        places = {
            number: place
            for number, entry in enumerate(found)
            if entry is None and (place := view.newest(encoded[number])) is not None
        }
        names = [keys[number] for number in places]
        missing = [encoded[number] for number in places]
        sizes = [place[_SIZE] for place in places.values()]
        size = sum(map(len, encoded)) + _shown_bytes(list(filter(None, found)))
        size += sum(sizes) - OVERHEAD * len(sizes) - sum(map(len, missing))
        if size > self._limits.answer_bytes_max:
            raise NotPlain
        if admit is not None:
            admit(size)
        if places:
            columns = list(zip(*places.values(), strict=True))
            entries = view.read_places(names, missing, columns, may_wait=may_wait)
            for number, key, entry in zip(places, missing, entries, strict=True):
                found[number] = entry
                if has_cache:
                    view.cache.put(key, entry)
        return Snapshot(moment, _as_of(moment, found))

    def _plain(self, keys: Sequence[str]) -> list[bytes]:
        """Return the UTF-8 bytes of keys that are within the limit.

        Raises:
            NotPlain, UnicodeEncodeError: one of them is not.
        """
        encoded = list(map(str.encode, keys))
        sizes = set(map(len, encoded))
        if sizes and (min(sizes) == 0 or max(sizes) > self._key_bytes_max):
            raise NotPlain
        return encoded

    def _any(self, key: str, at: At | None, *, is_whole: bool) -> Entry | LargeValue | None:
        """Return any value of a key, whatever its size, now or as it was at ``at``."""
        encoded = self._encode(key)
        return self._read(at, lambda view: self._entry(view, key, encoded, at, is_whole=is_whole))

    def _entry(
        self, view: View, key: str, encoded: bytes, at: At | None, *, is_whole: bool
    ) -> Entry | LargeValue | None:
        locator = view.find(encoded, None if at is None else revision_of(at))
        if locator is None or locator.kind not in VALUES:
            return None
        if locator.expires_us and locator.expires_us <= self._judging_us(view, at):
            return None
        if is_whole or locator.value_size <= LARGE_VALUE_BYTES:
            return view.read_entry(key, encoded, locator)
        return view.peek(key, encoded, locator)

    def _judging_us(self, view: View, at: At | None) -> int:
        """Return the time that decides whether a value has expired; for values that can expire."""
        return moment_of(view, at, self._clock).time_us


def _shown_bytes(entries: Sequence[Entry]) -> int:
    """Return how many bytes values add to an answer that shows them, beside their keys."""
    if any(map(_METADATA, entries)):
        return sum(map(shown_bytes, entries))
    return sum(map(len, map(_VALUE, entries)))


def _as_of(moment: Moment, entries: list[Entry | None]) -> list[Entry | None]:
    """Return newest values, ``None`` for those that have expired.

    Raises:
        NotPlain: one of them is newer than the moment.
    """
    if max(map(_REVISION, filter(None, entries)), default=0) > moment.revision:
        raise NotPlain
    if not any(map(_EXPIRES_US, filter(None, entries))):
        return entries
    return [
        None if entry and entry.expires_us and entry.expires_us <= moment.time_us else entry
        for entry in entries
    ]
