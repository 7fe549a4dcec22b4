"""What changed between two moments of a store, whichever backend it has.

The cost depends on what changed between them, not on the size of the store: candidates are the keys
in the feed between the two, and the few whose value had expired by the later one without a record
of the expiry yet. The feed has the state of a candidate at the later moment; only the state at the
earlier one is looked up.

A page holds the next keys in their order, so it reads the feed once and keeps that many of the
smallest keys. To keep all would save further readings, but take unbounded memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, NamedTuple

from rundlet_server.storage.interface import Entry, Store
from rundlet_server.storage.metadata import Metadata
from rundlet_server.storage.timeline import At, Event, Moment

Change = Literal["added", "changed", "removed"]

_CANDIDATES_MIN: Final = 10_000
"""At least so many keys are taken from the feed at a time: many of them may not differ."""
_EVENTS: Final = 10_000


class KeyState(NamedTuple):
    """What a key holds at a moment, without the bytes."""

    revision: int
    version: int
    time_us: int
    size: int
    content_type: str
    expires_us: int | None
    metadata: Metadata


class Difference(NamedTuple):
    """A key that is not the same at two moments; ``None``: it has no value there."""

    key: str
    before: KeyState | None
    after: KeyState | None

    @property
    def change(self) -> Change:
        """The change that leads from the one to the other."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Differences:
    """One page of differences.

    Attributes:
        found: in order of their keys.
        resume: pass as ``resume`` for the next page; ``None`` at the end.
    """

    found: list[Difference]
    resume: str | None


class Candidate(NamedTuple):
    """A key that may differ.

    Attributes:
        is_new: it had no value at the earlier moment.
        last: the last event of it; ``None``: its value had expired by the later moment.
    """

    is_new: bool
    last: Event | None


def moment_of(store: Store, at: At | None = None) -> Moment:
    """Return the moment that a read at ``at`` sees, the newest by default.

    Raises:
        Compacted, InvalidRequest: as any read there.
    """
    return store.get_many((), at=at).moment


def differences(
    store: Store,
    before: Moment,
    after: Moment,
    *,
    prefix: str = "",
    resume: str | None = None,
    limit: int = 1_000,
) -> Differences:
    """Return the next keys that differ between two moments, in order; ``before`` may be the later.

    A value that was written again, with the same bytes, differs.

    Raises:
        Compacted: the earlier of the moments is no longer kept.
        NotSupported: the store has no ``changes``.
    """
    first, last = sorted((before, after))
    found: list[Difference] = []
    while True:
        candidates = _candidates(store, first, last, prefix, _Smallest(resume, limit))
        for key, candidate in candidates.in_order():
            if len(found) == limit:
                return Differences(found, resume)
            resume = key
            old = None if candidate.is_new else state_of(store, key, first)
            new = _state_after(candidate.last, last)
            if differ(old, new):
                sides = (old, new) if first is before else (new, old)
                found.append(Difference(key, *sides))
        resume = candidates.bound
        if found or resume is None:
            return Differences(found, resume)


def state_of(store: Store, key: str, at: Moment) -> KeyState | None:
    """Return what a key holds at a moment.

    Its value is read, too, unless it is large. A list of this key alone would read none, and take
    twenty times as long.
    """
    entry = store.peek(key, at=at)
    if entry is None:
        return None
    size = len(entry.value) if isinstance(entry, Entry) else entry.size
    return KeyState(
        entry.revision,
        entry.version,
        entry.time_us,
        size,
        entry.content_type,
        entry.expires_us,
        entry.metadata,
    )


def differ(old: KeyState | None, new: KeyState | None) -> bool:
    """Return whether a key was written, created or removed between two of its states."""
    return (old and old.revision) != (new and new.revision)


def _state_after(event: Event | None, moment: Moment) -> KeyState | None:
    """Return what a key holds at a moment, given its last event up to that moment."""
    if event is None or not event.version:
        return None
    if event.expires_us is not None and event.expires_us <= moment.time_us:
        return None
    return KeyState(
        event.revision,
        event.version,
        event.time_us,
        event.size,
        event.content_type,
        event.expires_us,
        event.metadata,
    )


def _candidates(
    store: Store, first: Moment, last: Moment, prefix: str, into: _Smallest
) -> _Smallest:
    """Add all keys that may differ between two moments."""
    since = first.revision
    while since < last.revision:
        page = store.changes(since, prefix=prefix, limit=_EVENTS, until=last.revision)
        for event in page.events:
            into.add(event.key, event)
        since = page.next_since
    for key in store.expired(first.time_us, last):
        if key.startswith(prefix):
            into.add(key, None)
    return into


class _Smallest:
    """The smallest of the added keys that come after a key: ``count`` of them, and a few more."""

    def __init__(self, after: str | None, count: int) -> None:
        self._after = b"" if after is None else after.encode()
        self._count = max(count + 1, _CANDIDATES_MIN)
        self._rows: dict[bytes, Candidate] = {}
        self._bound: bytes | None = None

    @property
    def bound(self) -> str | None:
        """The largest of the kept keys, if larger ones were left out."""
        return None if self._bound is None else self._bound.decode()

    def add(self, key: str, event: Event | None) -> None:
        """Add a key, or its next event; ``None`` does not replace an event.

        Version 1 was written when the key had no value: an expiry is logged before its key is
        written again.
        """
        encoded = key.encode()
        if encoded <= self._after or (self._bound is not None and encoded > self._bound):
            return
        known = self._rows.get(encoded)
        if known is not None:
            self._rows[encoded] = Candidate(known.is_new, event or known.last)
            return
        self._rows[encoded] = Candidate(event is not None and event.version == 1, event)
        if len(self._rows) > 2 * self._count:
            self._cut()

    def in_order(self) -> list[tuple[str, Candidate]]:
        """Return the keys in order, without those that were created and removed since."""
        if len(self._rows) > self._count:
            self._cut()
        return [
            (key.decode(), candidate)
            for key, candidate in sorted(self._rows.items())
            if not (candidate.is_new and candidate.last and not candidate.last.version)
        ]

    def _cut(self) -> None:
        kept = dict(islice(sorted(self._rows.items()), self._count))
        self._rows = kept
        self._bound = max(kept)
