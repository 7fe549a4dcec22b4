"""The rows of the limits on connections: their number, header sizes and timeouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rundlet_server.functions.settings.kinds import Count, Duration, Size
from rundlet_server.functions.settings.rows import Setting, setting

CONNECTIONS_PANEL: Final = "Connections"

_HEADER_SPARE_BYTES = 16 * 1024
_ESCAPED_GROWTH = 3  # a byte of a key takes at most three characters of a path


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on connections; each is a setting, and ``/v1`` shows it."""

    connections_max: int = setting(
        1_000,
        Setting(
            Count(),
            "The connections that each process keeps open; with waitress at most a third of its"
            " file descriptors, with granian half.",
            variable="RUNDLET_MAX_CONNECTIONS",
            option="--max-connections",
            panel=CONNECTIONS_PANEL,
            by_server={"granian": 4_000},
        ),
    )
    header_bytes_max: int = setting(
        64 * 1024,
        Setting(
            Size(least=1_024),
            "The size of the request line and all headers; if the longest key needs more, a server"
            " raises it.",
            variable="RUNDLET_MAX_HEADER_BYTES",
            option="--max-header-bytes",
            panel=CONNECTIONS_PANEL,
        ),
    )
    header_timeout_s: float = setting(
        15.0,
        Setting(
            Duration(may_be_zero=False),
            "How long the headers of a request may take; with granian also the wait for the next"
            " request.",
            variable="RUNDLET_HEADER_TIMEOUT",
            option="--header-timeout",
            panel=CONNECTIONS_PANEL,
        ),
    )
    body_timeout_s: float = setting(
        30.0,
        Setting(
            Duration(may_be_zero=False),
            "How long a pause in sending a body, or in reading an answer, may last.",
            variable="RUNDLET_BODY_TIMEOUT",
            option="--body-timeout",
            panel=CONNECTIONS_PANEL,
        ),
    )
    idle_timeout_s: float = setting(
        75.0,  # above the 60 s after which common proxies close their side
        Setting(
            Duration(may_be_zero=False),
            "How long a connection may be idle between two requests.",
            variable="RUNDLET_IDLE_TIMEOUT",
            option="--idle-timeout",
            panel=CONNECTIONS_PANEL,
            only="waitress",
        ),
    )


def header_bytes_needed(key_bytes_max: int) -> int:
    """Return the bytes for the longest key in a path and the headers of its request."""
    return _ESCAPED_GROWTH * key_bytes_max + _HEADER_SPARE_BYTES
