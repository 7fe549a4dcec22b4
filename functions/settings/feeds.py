"""The rows of the limits on feeds, and on other requests that wait for a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rundlet_server.functions.settings.kinds import Count, Duration
from rundlet_server.functions.settings.rows import Setting, setting

_FEEDS: Final = "Feeds"


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Limits on requests that wait; each is a setting, and ``/v1`` shows it.

    waitress starts ``feeds_max`` threads beside those of ``--threads``; in Granian's event loop a
    request that waits needs none. The default is for WSGI servers that Rundlet does not start
    itself: there, a request that waits takes one of a few threads.
    """

    feeds_max: int = setting(
        4,
        Setting(
            Count(most=1_024),
            "The feeds, and other requests that wait for a change, that each process serves at a"
            " time. With waitress each has a thread of its own beside those of --threads.",
            variable="RUNDLET_MAX_FEEDS",
            option="--max-feeds",
            panel=_FEEDS,
            by_server={"waitress": 64, "granian": 1_000},
            used_by="functions",
        ),
    )
    wait_s_max: float = setting(
        60.0,
        Setting(
            Duration(may_be_zero=False),
            "How long a request may wait for a change.",
            variable="RUNDLET_MAX_WAIT",
            option="--max-wait",
            panel=_FEEDS,
            used_by="functions",
        ),
    )
