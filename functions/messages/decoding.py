"""Request bodies in JSON or CBOR, decoded strictly into the types of ``messages.requests``.

Items are counted before anything is built from a body, so that decoding takes a small multiple of
its size in memory. An item is a value or the name of a member.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterable
from typing import Final, Generic, NoReturn, TypeVar

import cbor2
import msgspec

from rundlet_server.functions.messages.bodies import JSON_TYPE
from rundlet_server.functions.problems import Problem, too_large

NESTING_MAX: Final = 16

_QUOTED_MAX: Final = 120
_BEGINNING: Final = 64 * 1024
"""How many bytes of a body with too many items are searched for deep nesting."""

_ENCODER: Final = msgspec.json.Encoder()
_JSON_DEEP: Final = re.compile(rb"(?:[\[{][^\[\]{}]*+){%d}" % (NESTING_MAX + 1))
_JSON_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_PLACE: Final = re.compile(r"\$\.(then|if|else)\[([0-9]+)\]")

Request = TypeVar("Request", bound=msgspec.Struct)


class BodyDecoder(Generic[Request]):
    """Decodes the bodies of one route."""

    def __init__(self, kind: type[Request], limit: str, items_max: int) -> None:
        """Decode into ``kind``; ``limit`` names ``items_max`` as ``functions.limits`` does."""
        self._kind = kind
        self._limit = limit
        self._items_max = items_max
        self._json = msgspec.json.Decoder(kind)

    def decode(self, body: bytes, media_type: str) -> Request:
        """Return the one item in a body.

        Raises:
            Problem: 400 ``bad-body``: malformed, nested too deep, a member twice, text that is not
                UTF-8, NaN, a CBOR tag or item of indefinite length, anything after the item.
                413: too many items. 422: a member that is missing, unknown or of a wrong type.
        """
        try:
            return self._from_json(body) if media_type == JSON_TYPE else self._from_cbor(body)
        except msgspec.ValidationError as ex:
            raise _wrong_member(ex) from ex
        except (ValueError, RecursionError, cbor2.CBORError) as ex:
            reason = "it is nested too deep" if isinstance(ex, RecursionError) else _short(str(ex))
            detail = f"the body is not acceptable {media_type}: {reason}"
            raise Problem(400, "bad-body", detail) from ex

    def _from_json(self, body: bytes) -> Request:
        """Decode in one step if the body is valid; otherwise again, strictly, to find the error.

        If a member comes twice, msgspec keeps the last one. The body then has more strings than the
        request that was decoded from it, since the name of each member is a string.
        """
        strings = _count_json_strings(body)
        if len(body) > self._items_max:  # an item has at least one byte
            few = strings <= self._items_max
            count = _count_json_values(body, self._items_max) if few else strings
            if count > self._items_max and _JSON_DEEP.search(_outside_strings(body[:_BEGINNING])):
                raise RecursionError
            self._require_few(count)
        with contextlib.suppress(msgspec.DecodeError, UnicodeError, OverflowError, RecursionError):
            request = self._json.decode(body)
            if _count_json_strings(_ENCODER.encode(request)) == strings:
                return request
            del request  # the body is decoded once more, and may be large
        return self._convert(_decode_json(body))

    def _from_cbor(self, body: bytes) -> Request:
        if len(body) > self._items_max:
            count, end = _count_cbor_items(body, self._items_max)
            if count > self._items_max:
                with contextlib.suppress(cbor2.CBORDecodeEOF):
                    _decode_cbor(body[:end])  # it may be nested too deep, or malformed
            self._require_few(count)
        return self._convert(_decode_cbor(body))

    def _convert(self, item: object) -> Request:
        return msgspec.convert(item, self._kind, builtin_types=(bytes,))

    def _require_few(self, count: int) -> None:
        if count > self._items_max:
            raise too_large(self._limit, self._items_max, count)


def _wrong_member(ex: msgspec.ValidationError) -> Problem:
    """Name the place of a wrong member; for an operation or condition, its list and index."""
    reason, _, path = str(ex).rpartition(" - at `")
    if not reason:
        return Problem(422, "bad-members", f"the body is wrong: {_short(path)}")
    place = path.rstrip("`").replace("$.", "")
    detail = f"the body is wrong at {place}: {_short(reason)}"
    if (found := _PLACE.search(path)) is None:
        return Problem(422, "bad-members", detail)
    return Problem(422, "bad-operation", detail, {"list": found[1], "index": int(found[2])})


# --- JSON ----------------------------------------------------------------------------------


def _count_json_strings(body: bytes) -> int:
    r"""Count strings, names of members included: half of the quotes that no ``\`` escapes."""
    quotes = body.count(b'"')
    if b"\\" in body:
        quotes -= body.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def _count_json_values(body: bytes, enough: int) -> int:
    """Return a number that is not below the count of values, or not above ``enough``.

    Every value but the first follows a comma or an opening bracket. Commas and brackets within
    strings are left out only if the count is above ``enough`` with them. ``body`` has at most
    ``enough`` strings.
    """
    count = 1 + sum(map(body.count, (b",", b"[", b"{")))
    if count > enough:
        count = 1 + sum(map(_outside_strings(body).count, (b",", b"[", b"{")))
    return count


def _outside_strings(body: bytes) -> bytes:
    return _JSON_STRING.sub(b"", body)


def _decode_json(body: bytes) -> object:
    item: object = json.loads(
        body.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
    )
    _require_shallow(item)
    return item


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = {_printable(name): item for name, item in pairs}
    if len(members) < len(pairs):
        raise ValueError("an object has the same member twice")
    if isinstance(kind := members.get("op"), str):
        members["op"] = _printable(kind)
    return members


def _printable(name: str) -> str:
    """Shorten a name for an error, and escape half of a surrogate pair."""
    return _short(name).encode(errors="backslashreplace").decode()


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED_MAX else text[:_QUOTED_MAX] + "…"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _require_shallow(item: object) -> None:
    """Refuse JSON that is nested deeper than CBOR may be."""
    level: Iterable[object] = [item]
    for _ in range(NESTING_MAX):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise RecursionError


def _children(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


# --- CBOR ----------------------------------------------------------------------------------


def _item_sizes() -> list[int]:
    """Return the size of an item by its first byte; 0 if the bytes after it give the size.

    An array, map or tag counts as its head alone: its content follows as further items.
    """
    sizes = []
    for first in range(256):
        info = first & 31
        is_string = first >> 5 in (2, 3)
        if info < 24:
            sizes.append(1 + (info if is_string else 0))
        else:
            sizes.append(0 if is_string or info > 27 else 1 + (1 << (info & 3)))
    return sizes


_CBOR_SIZES: Final = _item_sizes()


def _count_cbor_items(body: bytes, enough: int) -> tuple[int, int]:
    """Count at most ``enough + 1`` items; return the count and the offset after the last one.

    Counting stops at a malformed item, as the decoder does.
    """
    count = position = 0
    size = len(body)
    while position < size and count <= enough:
        first = body[position]
        step = _CBOR_SIZES[first]
        if not step:
            if first & 31 > 27:  # reserved, or without a length
                break
            content = position + 1 + (1 << (first & 3))
            step = content - position + int.from_bytes(body[position + 1 : content], "big")
        position += step
        count += 1
    return count, position


def _decode_cbor(body: bytes) -> object:
    stream = io.BytesIO(body)
    decoder = cbor2.CBORDecoder(
        stream,
        semantic_decoders=_NoTags(),
        max_depth=NESTING_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    item: object = decoder.decode()
    if stream.tell() != len(body):
        raise ValueError("there are more bytes after the item")
    return item


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("CBOR tags mean nothing here")


class _NoTags(dict[int, Callable[..., NoReturn]]):
    """Maps every tag to a decoder that refuses it.

    By default, cbor2 makes dates of some tags and compiles regular expressions from others.
    """

    def get(self, _tag: int, _default: object = None) -> Callable[..., NoReturn]:
        return _refuse_tag

    def __contains__(self, _tag: object) -> bool:
        return True

    def __missing__(self, _tag: int) -> Callable[..., NoReturn]:
        return _refuse_tag
