"""Operations that wait for changes."""

from __future__ import annotations

import time
from typing import Final

from rundlet.answers import fields_of
from rundlet.calls.call import Call, needed, read
from rundlet.calls.values import get
from rundlet.feed import FeedReader, changes_path, decode_event
from rundlet.model import ChangesPage, Value
from rundlet.wire import Fields

_WAIT_S: Final = 25
"""How long one request waits: shorter than the timeouts of proxies."""


def begin_feed(prefix: str, *, since: int | None, include_values: bool) -> Call[FeedReader]:
    """Return the reader of a feed that begins after ``since``, by default after the head."""
    found = yield from _changes(changes_path(prefix, since, limit=1))
    position = found.number("next_since") if since is None else since
    return FeedReader(prefix, position, include_values=include_values)


def changes(
    since: int,
    *,
    prefix: str,
    limit: int | None,
    include_values: bool,
    wait_s: float | None,
) -> Call[ChangesPage]:
    """Return one page of the changes after a revision."""
    path = changes_path(prefix, since, include_values=include_values, limit=limit, wait_s=wait_s)
    page = yield from _changes(path, wait_s=wait_s or 0)
    events = [decode_event(row, has_value=include_values) for row in page.rows("events")]
    return ChangesPage(events, page.number("next_since"), page.number("oldest_revision"))


def wait_for(
    key: str, *, revision: int | None, timeout_s: float, answer_s: float
) -> Call[Value | None]:
    """Wait until a key changes, and return its value.

    Args:
        key: the key.
        revision: the last revision of the key that the caller knows; by default the current one.
        timeout_s: how long to wait.
        answer_s: the timeout of the client for one answer.
    """
    ends_s = time.monotonic() + timeout_s
    since = (yield from _changes(changes_path(key, None, limit=1))).number("next_since")
    value = yield from get(key)
    if revision is None:
        revision = revision_of(value)
    while revision_of(value) == revision:
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            message = f"{key!r} has not changed within {timeout_s:g} s"
            raise TimeoutError(message)
        wait_s = min(left_s, _WAIT_S, answer_s / 2)
        page = yield from _changes(changes_path(key, since, wait_s=wait_s), wait_s=wait_s)
        since = page.number("next_since")
        if any(row.text("key") == key for row in page.rows("events")):
            value = yield from get(key)
    return value


def revision_of(value: Value | None) -> int:
    """Return the revision of a value, 0 for none."""
    return 0 if value is None else value.revision


def _changes(path: str, *, wait_s: float = 0) -> Call[Fields]:
    return fields_of(needed((yield read(path, wait_s=wait_s))))
