"""The interface to values that are too large to be read at once, and to answers with many values.

The words are those of ``storage.interface``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from rundlet_server.storage.metadata import NO_METADATA, Metadata

Admit = Callable[[int], None]
"""Called with the size of all keys and values of an answer before the values are read; it may raise
to refuse that. If a read begins anew, it is called again."""


class ValuePieces(Protocol):
    """The bytes of a large value. One thread at a time may use it."""

    def verify(self) -> None:
        """Read all of them once, without keeping any.

        Raises:
            Damaged: they are not what was written.
        """

    def read(self, start: int, size: int) -> bytes:
        """Return at least one and up to ``size`` bytes from ``start`` on; ``verify`` comes first.

        Raises:
            Damaged: they have changed since.
        """


class LargeValue(NamedTuple):
    """All of an ``Entry`` but its value, which takes ``size`` bytes and is read in pieces.

    None of it is verified by the checksum of the value before ``pieces.verify`` returns.
    """

    key: str
    pieces: ValuePieces
    size: int
    revision: int
    version: int
    time_us: int
    content_type: str
    expires_us: int | None
    metadata: Metadata = NO_METADATA
