"""The moment that a request reads: a revision, a time, or the head."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from rundlet_server.functions.messages.query import REVISION_MAX, Query, bad_query
from rundlet_server.storage.timeline import At, Moment

MomentAt = Callable[[int], Moment]
"""Returns the moment at a time in microseconds, as ``Store.moment`` does."""

TIME_PATTERN: Final = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,18})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
"""RFC 3339, section 5.6; digits of a fraction beyond microseconds are dropped."""
_TIME: Final = re.compile(TIME_PATTERN)
_WHOLE: Final = re.compile(r"[0-9]{1,19}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXCLUDED: Final = "'rev' and 'at' exclude each other; send one of them"


def time_us_of(text: str) -> int | None:
    """Return a time of RFC 3339 in microseconds since the epoch, 0 for all times before it.

    Returns:
        ``None`` if the text is no such time.
    """
    if not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return max(0, (time - _EPOCH) // timedelta(microseconds=1))


def asked_at(query: Query, moment_at: MomentAt) -> At | None:
    """Return the moment that the options ``rev`` and ``at`` name; ``None`` for the head.

    Raises:
        Problem: 400 ``bad-query``.
    """
    revision, text = query.revision("rev"), query.text("at")
    if text is None:
        return revision
    if revision is not None:
        raise bad_query(_EXCLUDED)
    time_us = time_us_of(text)
    if time_us is None:
        raise bad_query(_no_time("at"))
    return moment_at(time_us)


def at_of(name: str, text: str, moment_at: MomentAt) -> At:
    """Return the moment that an option names as a revision or as a time.

    Raises:
        Problem: 400 ``bad-query``.
    """
    if _WHOLE.fullmatch(text) and int(text) <= REVISION_MAX:
        return int(text)
    time_us = time_us_of(text)
    if time_us is None:
        raise bad_query(f"{_no_time(name)}; or a revision")
    return moment_at(time_us)


def _no_time(name: str) -> str:
    return (
        f"the option '{name}' must be a time of RFC 3339, such as 2027-01-31T12:00:00Z;"
        " percent-encode the '+' of an offset as %2B"
    )
