"""The newest changes of a store in memory, which all feeds of a process share."""

from __future__ import annotations

from bisect import bisect_right
from itertools import zip_longest
from typing import Final

from rundlet_server.storage.timeline import Changes, Event

EVENTS_MAX: Final = 1_000


class RecentChanges:
    """The changes after one revision up to another one, without values.

    Attributes:
        start: the revision after which the changes begin.
        until: the last revision whose changes are included.
    """

    def __init__(self, head: int) -> None:
        """Begin with nothing, at the head of the store."""
        self.start = self.until = head
        self._events: list[Event] = []
        self._oldest_revision = 0

    def add(self, page: Changes) -> None:
        """Add a page; it may begin before ``until``.

        If a key was erased, this removes its earlier events, as the erasure does in the log.
        """
        new = page.events[_first_above(page.events, self.until) :]
        erased = {event.key for event in new if event.kind == "erase"}
        if erased:
            self._events = [event for event in self._events if event.key not in erased]
        self._events += new
        self.until = max(self.until, page.next_since)
        self._oldest_revision = page.oldest_revision

    def trim(self) -> None:
        """Forget the oldest commits, so that no more than ``EVENTS_MAX`` events are left."""
        excess = len(self._events) - EVENTS_MAX
        if excess > 0:
            self.start = self._events[excess - 1].revision
            del self._events[: _first_above(self._events, self.start)]

    def page(self, prefix: str, since: int) -> Changes:
        """Return the changes of keys with a prefix after a revision, which is not below ``start``.

        As in a page of the log, the last event of each commit has ``is_last``, even if the commit
        has more events of other keys. If there are no changes, ``next_since`` is the revision up to
        which there are none.
        """
        first = _first_above(self._events, since)
        events = [event for event in self._events[first:] if event.key.startswith(prefix)]
        for place, (event, following) in enumerate(zip_longest(events, events[1:])):
            if not event.is_last and (following is None or following.revision != event.revision):
                events[place] = event._replace(is_last=True)
        return Changes(events, max(since, self.until), self._oldest_revision)


def _first_above(events: list[Event], revision: int) -> int:
    return bisect_right(events, revision, key=lambda event: event.revision)
