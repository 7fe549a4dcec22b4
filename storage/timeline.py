"""What a store remembers: its past to read, and its changes to follow.

``Timeline`` is the part of the ``Store`` protocol that is about time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

EventKind = Literal["put", "delete", "expire", "restore", "erase"]


class Event(NamedTuple):
    """One write of one key, in the order of the log.

    Attributes:
        version, size: 0 for an event that leaves the key without a value.
        is_last: this is the last event of its commit on the page.
        value: only if the page was to include values.
        is_value_omitted: the page was to include values, and this one would have made it too large.
    """

    revision: int
    time_us: int
    kind: EventKind
    key: str
    version: int
    size: int
    content_type: str
    expires_us: int | None
    is_last: bool
    value: bytes | None = None
    is_value_omitted: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of the feed: whole commits, in order.

    Attributes:
        events: may be empty.
        next_since: pass as ``since`` for the next page, also if this page is empty.
        oldest_revision: the feed can be followed from here on.
    """

    events: list[Event]
    next_since: int
    oldest_revision: int


class Timeline(Protocol):
    """The past and the changes of a store. All methods may be called from any thread."""

    def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int = 1_000,
        include_values: bool = False,
        until: int | None = None,
    ) -> Changes:
        """Return what was committed after a revision, oldest first. It needs ``changes``.

        Nothing is missing and nothing comes twice: a list at revision R and the changes since R
        together are the store. A page holds whole commits, those of one commit in the order of its
        operations. It ends before the commit that would exceed ``limit`` events or
        ``answer_bytes_max``; a first commit that alone exceeds them is on the page, without the
        values that are too much. A page may also end, even empty, because enough of the log was
        read for it. So the reader is at the end only if ``next_since`` is the head.

        Args:
            since: a revision; events have higher ones.
            prefix: only keys that start with this.
            limit: the most events on the page.
            include_values: fill in ``Event.value``.
            until: the last revision wanted; default the head.

        Raises:
            Compacted: ``since`` is below ``oldest_revision``.
            InvalidRequest: ``since`` is above the head.
        """

    def wait(self, since: int, timeout_s: float) -> int:
        """Return the head revision as soon as it is above ``since``, or after the timeout."""
