"""CBOR of many objects of one shape: the names are encoded once, the values one by one.

cbor2 spends more time on starting an object than on its members, and answers are lists of small
objects. The encoded bytes are the same as those of cbor2.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Final

FALSE: Final = b"\xf4"
TRUE: Final = b"\xf5"

_NUMBER: Final = 0x00
_BYTES: Final = 0x40
_TEXT: Final = 0x60
_ARRAY: Final = 0x80
_MAP: Final = 0xA0

_HEAD_16: Final = struct.Struct(">BH").pack
_HEAD_32: Final = struct.Struct(">BI").pack
_HEAD_64: Final = struct.Struct(">BQ").pack


class Shape:
    """Objects that have these members, in this order.

    Attributes:
        names: the bytes before each member: its name; the first one begins with the map's head.
    """

    def __init__(self, *names: str) -> None:
        first, *others = map(text, names)
        self.names = (_head(_MAP, len(names)) + first, *others)
        self._template = b"".join(name.replace(b"%", b"%%") + b"%b" for name in self.names)

    def encode(self, *members: bytes) -> bytes:
        """Encode an object from encoded members."""
        return self._template % members


def array(items: Sequence[bytes], count: int) -> bytes:
    """Encode a list of ``count`` encoded items, given in any number of pieces."""
    return _head(_ARRAY, count) + b"".join(items)


def text(value: str) -> bytes:
    """Encode a text."""
    return encoded_text(value.encode())


def encoded_text(value: bytes) -> bytes:
    """Encode a text, given as UTF-8."""
    return text_head(len(value)) + value


def text_head(size: int) -> bytes:
    """Return the head of a text of so many bytes."""
    return _TEXT_HEADS[size] if size < _FEW else _head(_TEXT, size)


repeated_text = functools.lru_cache(maxsize=256)(text)
"""Encodes a text that many objects share; caches the result."""


def number(value: int) -> bytes:
    """Encode a whole number that is not negative."""
    return _NUMBERS[value] if value < _FEW else _head(_NUMBER, value)


def byte_string_head(size: int) -> bytes:
    """Return the head of a byte string of so many bytes."""
    return _BYTE_STRING_HEADS[size] if size < _FEW else _head(_BYTES, size)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major | argument,))
    if argument < 1 << 8:
        return bytes((major | 24, argument))
    if argument < 1 << 16:
        return _HEAD_16(major | 25, argument)
    if argument < 1 << 32:
        return _HEAD_32(major | 26, argument)
    return _HEAD_64(major | 27, argument)


# Most numbers and sizes are small: a look-up takes half the time of making a head.
_FEW: Final = 1 << 8
_NUMBERS: Final = [_head(_NUMBER, number) for number in range(_FEW)]
_BYTE_STRING_HEADS: Final = [_head(_BYTES, size) for size in range(_FEW)]
_TEXT_HEADS: Final = [_head(_TEXT, size) for size in range(_FEW)]
