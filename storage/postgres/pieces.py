"""A large value, read in pieces: one statement each."""

from __future__ import annotations

from typing import Final

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.postgres.connections import Connections

_PIECE_BYTES_MAX: Final = 1024 * 1024
_READ: Final = "SELECT substring(v from %s::int for %s::int) FROM {kv} WHERE k = %s AND rev = %s"


class RowPieces:
    """The ``ValuePieces`` of a row. A row never changes, and is deleted once it is not kept."""

    def __init__(self, connections: Connections, key: bytes, revision: int) -> None:
        self._connections = connections
        self._key = key
        self._revision = revision

    def verify(self) -> None:
        """See ``ValuePieces.verify``: the database answers for its bytes."""

    def read(self, start: int, size: int) -> bytes:
        """See ``ValuePieces.read``.

        Raises:
            Unavailable: the value was replaced, and is no longer kept.
        """
        wanted = min(size, _PIECE_BYTES_MAX)
        rows = self._connections.rows(_READ, (start + 1, wanted, self._key, self._revision))
        if not rows:
            raise Unavailable("the value was replaced while it was read")
        piece: bytes = rows[0][0]
        return piece
