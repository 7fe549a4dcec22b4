"""Read a CBOR sequence (RFC 8742) with one map for each key.

Its members are ``key``, ``value`` (a byte string), ``content_type``, ``expires`` (RFC 3339),
``ttl`` (seconds), ``meta`` (a map of texts), and ``revision`` and ``version``, which are ignored.
All but the first two may be missing. The reader decodes no lists, no tags and no strings of
indefinite length, so an item takes at most a small multiple of its bytes in memory.
"""

from __future__ import annotations

import struct
from typing import Final

from rundlet_server.functions.transfer.rows import (
    BadRow,
    Rows,
    Rules,
    expiry_of,
    metadata_given,
)
from rundlet_server.storage.bounds import METADATA_COUNT_MAX
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE

Item = int | float | str | bytes | dict[str, str] | None

_MEMBERS_MAX: Final = 8
_NUMBER, _BYTES, _TEXT, _MAP, _OTHER = 0, 2, 3, 5, 7
_NULL: Final = 22
_FLOATS: Final = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}
_MEMBERS: Final = frozenset(
    {"key", "value", "content_type", "expires", "ttl", "meta", "revision", "version"}
)


class _Unfinished(Exception):
    """The item has not arrived completely; at least ``size`` bytes are needed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class _Malformed(BadRow):
    """The end of the item is unknown, so nothing after it can be read."""


class CborReader:
    """Reads a CBOR sequence up to the first malformed item."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._buffer = bytearray()
        self._number = 1
        self._wanted = 1
        self._is_lost = False

    def feed(self, data: bytes) -> Rows:
        """See ``Reader``."""
        found = Rows()
        if self._is_lost:
            return found
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return found
        block = bytes(self._buffer)
        end = self._read(block, found)
        self._buffer = bytearray(memoryview(block)[end:])
        return found

    def end(self) -> Rows:
        """See ``Reader``."""
        if self._buffer and not self._is_lost:
            found = Rows()
            found.refuse(self._number, "the sequence ends within an item")
            return found
        return Rows()

    def _read(self, block: bytes, found: Rows) -> int:
        """Add the rows in a block; return where the first unfinished one begins."""
        place, now_us = 0, system_clock_us()
        self._wanted = 1
        while place < len(block):
            try:
                members, end = _map(block, place)
            except _Unfinished as ex:
                size = ex.size - place
                if size > self._rules.row_bytes_max:
                    most = self._rules.row_bytes_max
                    return self._lose(f"the item is longer than {most} bytes", found)
                self._wanted = size
                return place
            except _Malformed as ex:
                return self._lose(str(ex), found)
            try:
                self._add(found, members, now_us)
            except BadRow as ex:
                found.refuse(self._number, str(ex))
            self._number += 1
            place = end
        return place

    def _lose(self, reason: str, found: Rows) -> int:
        found.refuse(self._number, reason)
        self._is_lost = True
        return 0

    def _add(self, found: Rows, members: dict[str, Item], now_us: int) -> None:
        unknown = sorted(members.keys() - _MEMBERS)
        if unknown:
            raise BadRow(f"unknown member {unknown[0][:80]!r}")
        key, value = members.get("key"), members.get("value")
        content_type = members.get("content_type") or DEFAULT_CONTENT_TYPE
        expires, ttl = members.get("expires"), members.get("ttl")
        if not isinstance(key, str):
            raise BadRow("'key' is missing or not text")
        if not isinstance(value, bytes):
            raise BadRow("'value' is missing or not a byte string")
        if not isinstance(content_type, str):
            raise BadRow("'content_type' is not text")
        if not isinstance(expires, str | None) or not isinstance(ttl, int | float | None):
            raise BadRow("'expires' is not text, or 'ttl' no number")
        row = self._rules.row(key, value, content_type)
        metadata = metadata_given(members.get("meta"))
        found.add(self._number, row, expiry_of(expires, ttl, now_us), metadata)


def _map(data: bytes, place: int) -> tuple[dict[str, Item], int]:
    head = data[place]
    count = head & 0x1F
    if head >> 5 != _MAP or count > _MEMBERS_MAX:
        raise _Malformed("the item is no map of a few members")
    place += 1
    members: dict[str, Item] = {}
    for _ in range(count):
        name, place = _item(data, place)
        if not isinstance(name, str):
            raise _Malformed("the name of a member is not text")
        if name in members:
            raise _Malformed("a member is there twice")
        members[name], place = _item(data, place)
    return members, place


def _item(data: bytes, place: int) -> tuple[Item, int]:
    """Return the item at a place, and where it ends."""
    if place >= len(data):
        raise _Unfinished(place + 1)
    head = data[place]
    major, info = head >> 5, head & 0x1F
    argument, place = _argument(data, place + 1, info)
    if major in (_BYTES, _TEXT):
        end = place + argument
        if end > len(data):
            raise _Unfinished(end)
        content = data[place:end]
        return (content if major == _BYTES else _decoded(content)), end
    if major == _NUMBER:
        return argument, place
    if major == _OTHER:
        return _simple(info, argument), place
    if major == _MAP and argument <= METADATA_COUNT_MAX:
        return _texts(data, place, argument)
    raise _Malformed("a member is a list, a large map, a tag or a negative number")


def _texts(data: bytes, place: int, count: int) -> tuple[dict[str, str], int]:
    """Return a map of texts by name, and where it ends."""
    found: list[str] = []
    for _ in range(2 * count):
        if place < len(data) and data[place] >> 5 != _TEXT:
            raise _Malformed("a map within an item holds something else than text")
        text, place = _item(data, place)
        found.append(str(text))
    texts = dict(zip(found[::2], found[1::2], strict=True))
    if len(texts) < count:
        raise _Malformed("a name is there twice in a map")
    return texts, place


def _argument(data: bytes, place: int, info: int) -> tuple[int, int]:
    """Return the number in the head of an item, and where the head ends."""
    if info < 24:
        return info, place
    if info > 27:
        raise _Malformed("an item has no length, or is reserved")
    end = place + (1 << (info - 24))
    if end > len(data):
        raise _Unfinished(end)
    return int.from_bytes(data[place:end], "big"), end


def _simple(info: int, argument: int) -> float | None:
    """Return null, or the float with these bits."""
    if info == _NULL:
        return None
    if info not in _FLOATS:
        raise _Malformed("a member is neither text nor bytes nor a number")
    size, form = _FLOATS[info]
    number: float = struct.unpack(form, argument.to_bytes(size, "big"))[0]
    return number


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as ex:
        raise _Malformed("a text is not valid UTF-8") from ex
