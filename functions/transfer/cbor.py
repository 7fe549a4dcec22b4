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
    return text_head(len(value)) + value


def text_head(size: int) -> bytes:
    """What stands before a text of so many bytes."""
    return _TEXT_HEADS[size] if size < _FEW else _head(_TEXT, size)


repeated_text = functools.lru_cache(maxsize=256)(text)
"""A text that many objects share."""


def number(value: int) -> bytes:
    """A whole number that is not negative."""
    return _NUMBERS[value] if value < _FEW else _head(_NUMBER, value)


def byte_string_head(size: int) -> bytes:
    """What stands before a byte string of so many bytes."""
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
