"""Where a record is, and what the index knows of it without reading it."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple, Protocol

from rundlet_server.storage.log.format.record import META_UNIT, OVERHEAD, TOMBSTONES

OFFSET_BITS: Final = 40
_OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
SEGMENT_NUMBER_MAX: Final = (1 << 24) - 1
OFFSET_MAX: Final = _OFFSET_MASK


class Locator(NamedTuple):
    """One version of one key in the index. Sizes in bytes, times in microseconds.

    Attributes:
        position: of the record in the log, see ``pack_position``.
        size: of the whole record.
        expires_us: 0 for never.
        previous: the next older version that the same delta knows.
    """

    revision: int
    position: int
    size: int
    value_size: int
    version: int
    kind: int
    content_type: str
    expires_us: int
    previous: Locator | None = None

    @property
    def is_tombstone(self) -> bool:
        """Whether the key has no value from this revision on."""
        return self.kind in TOMBSTONES


class _OfFields(Protocol):
    def __call__(
        self, fields: tuple[int, int, int, int, int, int, str, int, Locator | None], /
    ) -> Locator: ...


locator_of: Final[_OfFields] = functools.partial(tuple.__new__, Locator)
"""The locator with these fields, for loops over many: ``Locator`` itself takes twice as long."""


def may_have_metadata(key: bytes, locator: Locator) -> bool:
    """Return whether a value can have metadata, without a look at its record.

    Few records without metadata have a meta map, and few of those maps have such a size.
    """
    meta_size = locator.size - OVERHEAD - locator.value_size - len(key)
    return meta_size > 0 and meta_size % META_UNIT == 0


def pack_position(segment: int, offset: int) -> int:
    """Return a place in the log as one 64-bit word: segment number (24 bits), offset (40 bits).

    Within the segments that commits are appended to, positions rise with time.
    """
    return segment << OFFSET_BITS | offset


def segment_of(position: int) -> int:
    """Return the segment number of a packed position."""
    return position >> OFFSET_BITS


def offset_of(position: int) -> int:
    """Return the byte offset of a packed position in its segment."""
    return position & _OFFSET_MASK
