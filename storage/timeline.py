"""The past and the future of a store: what was there when, and what comes next.

A *moment* is a state of the store that can be read: a revision, and the time that decides which
values had expired by then. A read that takes a moment also takes a bare revision, which stands for
the moment at which the newest commit at or below it was made.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from rundlet_server.storage.metadata import NO_METADATA, Metadata

EventKind = Literal["put", "delete", "expire", "restore", "erase"]


class Moment(NamedTuple):
    """A state of the store that can be read.

    Attributes:
        revision: of the newest commit that is seen.
        time_us: a value whose expiry is at or before this time is absent, logged or not.
    """

    revision: int
    time_us: int


At = int | Moment
"""Where a read looks: a moment, or a revision as of the time of its commit."""


class Version(NamedTuple):
    """One line of a key's history; version and size are 0 if the key has no value after it."""

    revision: int
    version: int
    kind: EventKind
    time_us: int
    size: int
    content_type: str
    expires_us: int | None = None
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class History:
    """The kept versions of one key.

    Attributes:
        revision: of the head that they were read at.
        oldest_revision: the oldest revision at which the whole store can be read.
        versions: newest first; empty if the key is unknown.
        resume: pass as ``before`` for the next ones; ``None`` at the end.
    """

    revision: int
    oldest_revision: int
    versions: list[Version]
    resume: int | None


class Event(NamedTuple):
    """One change of one key, as the feed shows it; fields as in ``Version``.

    Attributes:
        is_last: it is the last event of its commit on the page.
        value: of a put or a restore, if values were asked for; else ``None``.
        is_value_omitted: the value was asked for, but the page had no room for it.
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
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of the feed.

    Attributes:
        events: in the order of commits, within a commit in that of its operations; whole commits.
        next_since: pass as ``since`` for what comes after; it advances on an empty page, too.
        oldest_revision: the oldest revision that the feed can be followed from.
    """

    events: list[Event]
    next_since: int
    oldest_revision: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Which history is kept.

    Attributes:
        keep_versions: so many newest versions of a key that has a value.
        keep_for_s: everything that was visible in the last so many seconds.
    """

    keep_versions: int = 10
    keep_for_s: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        revision: of its commit; of the head if the key is not known.
        versions: how many values can no longer be read.
        is_pending: their bytes are still in files that a compaction will rewrite.
        is_found: the key had a history; else nothing was written.
    """

    revision: int
    versions: int
    is_pending: bool
    is_found: bool = True


class Timeline(Protocol):
    """What a store knows of its past, and how to follow it. See ``Store`` for the errors of all."""

    def moment(self, time_us: int) -> Moment:
        """Return the moment at a time: the newest commit at or before it.

        Raises:
            Compacted: the history no longer reaches back to it.
            InvalidRequest: the time has not come yet.
        """

    def retention(self) -> Retention:
        """Return which history the store keeps."""

    def retain(self, retention: Retention) -> None:
        """Change which history the store keeps, from now on, for all processes; durably.

        It needs the feature ``retention``. History that is gone does not come back if more is kept
        later.

        Raises:
            InvalidRequest: no store keeps so little or so much.
            ReadOnly, Unavailable: as ``Store.commit``.
        """

    def hold(self, revision: int) -> AbstractContextManager[None]:
        """Keep a revision readable while a long read goes on, whatever the retention.

        A store that is read-only, or on a disk without room, takes no hold: the read may end with
        ``Compacted``.

        Raises:
            Compacted: when it is entered, the revision is no longer kept.
        """

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """Return the kept versions of a key, newest first, with revisions below ``before``."""

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """Return the keys whose value at a moment had expired by then, but not by ``after_us``.

        A moment does not show such a value, although its expiry may be logged only later.
        """

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

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:
        """Remove every version of a key for good; the key can be written again.

        After the return, no read at any revision shows any of them; its history and the changes
        have one event, ``erase``. What else the store keeps, and ``oldest_revision``, stay as they
        are. A compaction in the background removes the bytes. If nothing was written to the key
        since its last erasure, this returns the state of that erasure. It needs ``erase``.

        Args:
            key: the key.
            wait_s: wait so long for the bytes to be removed.

        Raises:
            ReadOnly, Unavailable, OutcomeUnknown: as ``Store.commit``.
        """

    def wait(self, since: int, timeout_s: float) -> int:
        """Return the head revision as soon as it is above ``since``, or after the timeout."""
