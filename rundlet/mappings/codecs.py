"""The codecs for the values of a mapping. There is none for pickle, because it can run code."""

from __future__ import annotations

import json
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import cbor2

from rundlet.model import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE

T = TypeVar("T")
CodecName: TypeAlias = Literal["text", "bytes", "json", "cbor"]


Tree: TypeAlias = Any
"""A value of JSON or CBOR; ``Any``, because only the program knows the type that it stored."""


class Codec(Protocol[T]):
    """Turns values into bytes and back.

    Attributes:
        content_type: of the bytes.
    """

    content_type: str

    def encode(self, value: T) -> bytes:
        """Encode a value; raise ``ValueError`` or ``TypeError`` if that is impossible."""

    def decode(self, data: bytes) -> T:
        """Decode a value; raise ``ValueError`` if the bytes are invalid."""


class TextCodec:
    """Text as UTF-8."""

    content_type = TEXT_CONTENT_TYPE

    def encode(self, value: str) -> bytes:
        """Return the bytes of a value."""
        return value.encode()

    def decode(self, data: bytes) -> str:
        """Return the value of bytes."""
        return data.decode()


class BytesCodec:
    """Bytes as they are."""

    content_type = DEFAULT_CONTENT_TYPE

    def encode(self, value: bytes) -> bytes:
        """Return the bytes of a value."""
        return bytes(memoryview(value))

    def decode(self, data: bytes) -> bytes:
        """Return the value of bytes."""
        return data


class JsonCodec:
    """The types of JSON: text, numbers, true, false, ``None``, lists, and dicts with text keys."""

    content_type = "application/json"

    def encode(self, value: Tree) -> bytes:
        """Return the bytes of a value."""
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()

    def decode(self, data: bytes) -> Tree:
        """Return the value of bytes."""
        return json.loads(data)


class CborCodec:
    """The types of CBOR: those of JSON, and bytes, times, large numbers, dicts with any keys."""

    content_type = "application/cbor"

    def encode(self, value: Tree) -> bytes:
        """Return the bytes of a value."""
        return cbor2.dumps(value)

    def decode(self, data: bytes) -> Tree:
        """Return the value of bytes."""
        return cbor2.loads(data)


CODECS: Final[dict[CodecName, Codec[Tree]]] = {
    "text": TextCodec(),
    "bytes": BytesCodec(),
    "json": JsonCodec(),
    "cbor": CborCodec(),
}
