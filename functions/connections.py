"""What a server puts up with from its connections."""

from __future__ import annotations

from dataclasses import dataclass

_HEADER_SPARE_BYTES = 16 * 1024
_ESCAPED_GROWTH = 3  # a byte of a key is three characters of a path at most


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The most a connection may take; every one is a setting and is shown by ``/v1``.

    Attributes:
        connections_max: connections that one process keeps (``RUNDLET_MAX_CONNECTIONS``).
        header_bytes_max: the request line and all headers (``RUNDLET_MAX_HEADER_BYTES``).
        header_timeout_s: until the headers are there (``RUNDLET_HEADER_TIMEOUT``); on Granian
            also until the next request begins.
        body_timeout_s: without anything moving, while a body is being sent or an answer being
            read (``RUNDLET_BODY_TIMEOUT``).
        idle_timeout_s: until the next request begins (``RUNDLET_IDLE_TIMEOUT``).
    """

    connections_max: int = 1_000
    header_bytes_max: int = 64 * 1024
    header_timeout_s: float = 15.0
    body_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0  # above the 60 s after which common proxies close their side


def header_bytes_needed(key_bytes_max: int) -> int:
    """Room for the longest key in a path, and for the headers that go with it."""
    return _ESCAPED_GROWTH * key_bytes_max + _HEADER_SPARE_BYTES
