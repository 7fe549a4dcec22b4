"""CBOR of many objects of one shape: the names are encoded once, the values one by one.

cbor2 spends more time on entering an object than on what is in it, and answers are lists of small
objects. What is encoded here is the same to the byte.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Final

FALSE: Final = b"\xf4"
TRUE: Final = b"\xf5"

_BYTES: Final = 0x40
_TEXT: Final = 0x60
_ARRAY: Final = 0x80
_MAP: Final = 0xA0

_ONE: Final = [bytes((number,)) for number in range(256)]
_HEAD_16: Final = struct.Struct(">BH").pack
_HEAD_32: Final = struct.Struct(">BI").pack
_HEAD_64: Final = struct.Struct(">BQ").pack


class Shape:
    """Objects that have these members, in this order.

    Attributes:
        names: what stands before each member.
    """

    def __init__(self, *names: str) -> None:
        first, *others = map(text, names)
        self.names = (_head(_MAP, len(names)) + first, *others)
        self._template = b"".join(name.replace(b"%", b"%%") + b"%b" for name in self.names)

    def encode(self, *members: bytes) -> bytes:
        """An object; its members are encoded already."""
        return self._template % members


def array(items: Sequence[bytes], count: int) -> bytes:
    """A list of ``count`` items, which come in any number of pieces."""
    return _head(_ARRAY, count) + b"".join(items)


def text(value: str) -> bytes:
    """A text."""
    return encoded_text(value.encode())


def encoded_text(value: bytes) -> bytes:
    """A text that is UTF-8 already."""
    return _head(_TEXT, len(value)) + value


def text_head(value: bytes) -> bytes:
    """What stands before the bytes of a text."""
    return _head(_TEXT, len(value))


repeated_text = functools.lru_cache(maxsize=256)(text)
"""A text that many objects share."""


def number(value: int) -> bytes:
    """A whole number that is not negative."""
    return _head(0, value)


def byte_string_head(value: bytes) -> bytes:
    """What stands before the bytes of a byte string."""
    return _head(_BYTES, len(value))


def byte_string_head_of(size: int) -> bytes:
    """The same for a byte string of this size."""
    return _head(_BYTES, size)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return _ONE[major | argument]
    if argument < 1 << 8:
        return _ONE[major | 24] + _ONE[argument]
    if argument < 1 << 16:
        return _HEAD_16(major | 25, argument)
    if argument < 1 << 32:
        return _HEAD_32(major | 26, argument)
    return _HEAD_64(major | 27, argument)
