"""The state of a request's connection, for answers that take long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

CONNECTION: Final = "rundlet.connection"
"""The environ variable with the connection of a request, if the server provides it."""


class Connection(Protocol):
    """The connection of a request. The thread that answers the request may ask it."""

    def is_over(self) -> bool:
        """Return whether the client has disconnected, or the server shuts down."""

    def unsent_bytes(self) -> int:
        """Return how many bytes of the answer wait in memory for the client."""


class _Unknown:
    """The connection of a request if the server does not provide it."""

    def is_over(self) -> bool:
        return False

    def unsent_bytes(self) -> int:
        return 0


_UNKNOWN: Final = _Unknown()


def connection_of(environ: Mapping[str, object]) -> Connection:
    """Return the connection of a request."""
    connection: Connection = environ.get(CONNECTION, _UNKNOWN)  # type: ignore[assignment] # only servers set it
    return connection
