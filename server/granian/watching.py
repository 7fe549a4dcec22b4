"""Wake the requests of an event loop that wait for changes; one thread watches for all of them.

The thread reads the changes of new commits once. The loop keeps the newest changes, and wakes the
requests that wait for one of their keys, a few in each turn. The other requests sleep on; the loop
advances their positions. Once a second the loop checks in one pass which requests are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from rundlet_server.functions.waits import Watched
from rundlet_server.server.granian.recent import EVENTS_MAX, RecentChanges
from rundlet_server.storage.interface import Store
from rundlet_server.storage.timeline import Changes

_LOOK_EVERY_S: Final = 1.0
_WOKEN_AT_ONCE: Final = 50
"""How many requests the loop wakes in one turn, so that others get their turns in between."""

Found = Changes | None
"""The changes that a request waited for; ``None`` if it must read the log itself."""


class _Sleeper:
    """A request that waits."""

    __slots__ = ("future", "watched")

    def __init__(self, watched: Watched, future: asyncio.Future[Found]) -> None:
        self.watched = watched
        self.future = future

    def wake(self, found: Found) -> None:
        if not self.future.done():
            self.future.set_result(found)


class ChangeWatch:
    """Waits for the changes of a store."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without a thread."""
        self._store = store
        self._has_changes = "changes" in store.info.features
        self._loop = loop
        self._recent = RecentChanges(0)
        self._sleepers: dict[str, dict[_Sleeper, None]] = {}
        self._late: dict[_Sleeper, int] = {}  # with the revision that must be known first
        self._lengths: Counter[int] = Counter()
        self._due: dict[_Sleeper, Found] = {}
        self._is_wanted = threading.Event()
        self._thread: threading.Thread | None = None

    async def next_changes(self, watched: Watched, timeout_s: float) -> Found:
        """See ``Waits.next_changes``."""
        self._watch()
        recent = self._recent
        if watched.since < recent.start:
            return None
        known = recent.page(watched.prefix, watched.since)
        head = self._store.wait(0, 0) if known.events else 0
        if known.events and head <= recent.until:
            return known
        # Wait for the changes up to the head: a commit may have erased the known ones.
        sleeper = _Sleeper(watched, self._loop.create_future())
        timer = self._loop.call_later(timeout_s, self._wake_idle, sleeper)
        self._add(sleeper, head)
        try:
            return await sleeper.future
        finally:
            timer.cancel()
            self._due.pop(sleeper, None)
            self._remove(sleeper)

    def wake_all(self) -> None:
        """End all waits."""
        for sleeper in self._all():
            self._wake_idle(sleeper)

    def _add(self, sleeper: _Sleeper, head: int) -> None:
        if head:
            self._late[sleeper] = head
            return
        prefix = sleeper.watched.prefix
        self._sleepers.setdefault(prefix, {})[sleeper] = None
        self._lengths[len(prefix)] += 1

    def _remove(self, sleeper: _Sleeper) -> None:
        if sleeper in self._late:
            del self._late[sleeper]
            return
        prefix = sleeper.watched.prefix
        same = self._sleepers[prefix]
        del same[sleeper]
        if not same:
            del self._sleepers[prefix]
        self._lengths[len(prefix)] -= 1
        if not self._lengths[len(prefix)]:
            del self._lengths[len(prefix)]

    def _all(self) -> list[_Sleeper]:
        return [*self._late, *(sleeper for same in self._sleepers.values() for sleeper in same)]

    def _wake_idle(self, sleeper: _Sleeper) -> None:
        """Wake a request whose wait is over, with no changes unless some are due."""
        if sleeper in self._due:
            sleeper.wake(self._due.pop(sleeper))
            return
        since = sleeper.watched.since
        reached = since if sleeper in self._late else max(since, self._recent.until)
        sleeper.wake(Changes([], reached, 0))

    def _watch(self) -> None:
        if self._is_wanted.is_set():
            return
        self._recent = RecentChanges(self._store.wait(0, 0))
        self._is_wanted.set()
        self._loop.call_later(_LOOK_EVERY_S, self._look)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rundlet-watch", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        """Wake the requests that are over; if no request waits, pause the thread."""
        sleepers = self._all()
        if not sleepers:
            self._is_wanted.clear()
            return
        for sleeper in sleepers:
            if sleeper.watched.is_over():
                self._wake_idle(sleeper)
        self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _run(self) -> None:
        """Read the changes of new commits, and pass them on to the loop."""
        known = self._recent.until
        while not self._loop.is_closed():
            if not self._is_wanted.is_set():
                self._is_wanted.wait()
                known = self._recent.until
            try:
                known = self._read(known)
            except Exception:  # of the store or its disk: the requests get it when they read
                self._call(self._fail, known)
                time.sleep(_LOOK_EVERY_S)

    def _read(self, known: int) -> int:
        """Wait for a commit; return the revision up to which the loop knows all changes."""
        head = self._store.wait(known, _LOOK_EVERY_S)
        if head <= known:
            return known
        if not self._has_changes:
            self._call(self._fail, head)
            return head
        page = self._store.changes(known, limit=EVENTS_MAX)
        self._call(self._advance, known, page)
        return page.next_since

    def _call(self, do: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(do, *arguments)

    def _fail(self, head: int) -> None:
        """Wake all requests to read the log themselves."""
        self._recent = RecentChanges(max(head, self._recent.until))
        self._wake([(sleeper, None) for sleeper in self._all()])

    def _advance(self, known: int, page: Changes) -> None:
        """Wake the requests that wait for one of these changes, or for changes before them."""
        recent = self._recent
        recent.add(page)
        woken: list[tuple[_Sleeper, Found]] = []
        for sleeper, head in self._late.items():
            if head > recent.until:
                continue
            since = sleeper.watched.since
            is_known = since >= recent.start
            woken.append(
                (sleeper, recent.page(sleeper.watched.prefix, since) if is_known else None)
            )
        for prefix in self._changed_prefixes(page):
            of_all = recent.page(prefix, known)
            for sleeper in self._sleepers[prefix]:
                since = sleeper.watched.since
                found = of_all if since <= known else recent.page(prefix, since)
                if found.events:
                    woken.append((sleeper, found))
        recent.trim()
        self._wake(woken)

    def _changed_prefixes(self, page: Changes) -> set[str]:
        """Return the prefixes of changed keys for which requests wait."""
        beginnings = {event.key[:length] for event in page.events for length in self._lengths}
        return {prefix for prefix in beginnings if prefix in self._sleepers}

    def _wake(self, woken: list[tuple[_Sleeper, Found]]) -> None:
        """Wake requests, in this turn of the loop and the next ones.

        If a request already has changes due, it gets those; it finds the newer ones when it waits
        again.
        """
        is_scheduled = bool(self._due)
        for sleeper, found in woken:
            if not sleeper.future.done():
                self._due.setdefault(sleeper, found)
        if not is_scheduled:
            self._wake_some()

    def _wake_some(self) -> None:
        for sleeper in [*itertools.islice(self._due, _WOKEN_AT_ONCE)]:
            sleeper.wake(self._due.pop(sleeper))
        if self._due:
            self._loop.call_soon(self._wake_some)
