"""Bodies for ``/v1/txn`` and ``/v1/mget`` that are valid, nearly valid, and invalid.

Hypothesis strategies make Python objects, and markers for what Python has no object for. The
encoders here write both, and neither correct nor reject anything.
"""

from __future__ import annotations

import json
import struct
from typing import Final, NamedTuple

from hypothesis import strategies as st

JSON: Final = "application/json"
CBOR: Final = "application/cbor"


class Odd(NamedTuple):
    """Bytes in place of an item; the server must reject every body that contains them."""

    raw: bytes


class Twice(NamedTuple):
    """An object with a duplicate member, which the server must reject, too."""

    members: dict[str, object]
    name: str


_NO_JSON: Final = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5_000, b"-" + b"9" * 400),
    *(b"01", b"+1", b"0x10", b"1_0", b".5", b"nul", b"undefined", b"'a'", b"//\n1", b"\x00"),
    *(b'"\n"', b'"\x00"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\x41"', b'"\\u00"'),
    *(b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf1"),
    *(b"{", b"[", b"1,", b",", b"1 2", b"[1,]", b"{1:2}", b'{"key":1,"key":1}'),
    *(b"[" * 20 + b"]" * 20, b"[" * 100_000, b'{"a":' * 20 + b"1" + b"}" * 20),
]
_NO_CBOR: Final = [
    *("9fff", "bfff", "5f4161ff", "7f6161ff", "bf616101ff", "ff", "9f", "5f"),  # without a length
    *("f7", "e0", "f820", "f818", "fc", "1c", "3e", "5d"),  # undefined, unassigned, reserved
    *("c000", "c1fb41d452d9e20000", "c24101", "c2490100000000000000ff", "c3420100"),  # tags
    *("c482010a", "d81c80", "d81d00", "d818420101", "d8236161", "d82a00", "d90100"),
    *("d9010280", "d9d9f700", "f97e00", "f97c00", "fb7ff8000000000000", "fbfff0000000000000"),
    *("62c328", "63eda080", "61ff", "6180"),  # broken UTF-8
    *("a10101", "a1f500", "a141610100", "a1f97e0001", "a2616101616102"),  # names
    *("3bffffffffffffffff", "0000", "", "81" * 40, "5a7fffffff", "9a7fffffff"),  # sizes
    *("9bffffffffffffffff", "5b7fffffffffffffff", "7bffffffffffffffff", "bb7fffffffffffffff"),
]


def encode(item: object, media_type: str) -> bytes:
    """Encode an item as a body."""
    return _json(item) if media_type == JSON else _cbor(item)


def is_odd(item: object) -> bool:
    """Return whether an item contains something that no body may hold."""
    if isinstance(item, Odd | Twice):
        return True
    if isinstance(item, dict):
        return any(map(is_odd, item.values()))
    return isinstance(item, list) and any(map(is_odd, item))


def _json(item: object) -> bytes:
    if isinstance(item, Odd):
        return item.raw
    if isinstance(item, list):
        return b"[" + b",".join(map(_json, item)) + b"]"
    if isinstance(item, dict | Twice):
        pairs = [json.dumps(name).encode() + b":" + _json(of) for name, of in _pairs(item)]
        return b"{" + b", ".join(pairs) + b"}"
    return json.dumps(item).encode()


def _cbor(item: object) -> bytes:
    match item:
        case Odd():
            return item.raw
        case None | bool():
            return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[item]
        case int():
            return _cbor_int(item)
        case float():
            return b"\xfb" + struct.pack(">d", item)
        case bytes():
            return _cbor_head(2, len(item)) + item
        case str():
            encoded = item.encode("utf-8", "surrogatepass")
            return _cbor_head(3, len(encoded)) + encoded
        case list():
            return _cbor_head(4, len(item)) + b"".join(map(_cbor, item))
        case dict() | Twice():
            pairs = _pairs(item)
            return _cbor_head(5, len(pairs)) + b"".join(_cbor(n) + _cbor(of) for n, of in pairs)
    raise TypeError(item)


def _cbor_int(number: int) -> bytes:
    if -(2**64) <= number < 2**64:
        return _cbor_head(0, number) if number >= 0 else _cbor_head(1, -1 - number)
    magnitude = number if number > 0 else -1 - number
    size = (magnitude.bit_length() + 7) // 8
    tag = b"\xc2" if number > 0 else b"\xc3"
    return tag + _cbor_head(2, size) + magnitude.to_bytes(size, "big")


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, form in enumerate((">B", ">H", ">I", ">Q")):
        if number < 256 ** struct.calcsize(form):
            return bytes([major << 5 | 24 + info]) + struct.pack(form, number)
    raise ValueError(number)


def _pairs(item: dict[object, object] | Twice) -> list[tuple[object, object]]:
    if isinstance(item, Twice):
        return [*item.members.items(), (item.name, item.members[item.name])]
    return list(item.items())


# --- strategies ----------------------------------------------------------------------------

KEYS: Final[list[object]] = ["n", "t", "big", "none", "é/", "\0", "x" * 64, "é" * 32]
BAD_KEYS: Final[list[object]] = [
    "",
    "x" * 65,
    "é" * 33,
    "\ud800",
    "a\udfff",
    None,
    1,
    True,
    b"n",
    [],
    {},
    1.5,
]
NUMBERS: Final = [
    *[0, 1, 2, 3, 5, 2**31, 2**53] * 3,
    *(-1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30),
]
TTLS: Final = [
    *[1, 0.5, 60, 1e9, 1e-6] * 5,
    *(1e-7, 0, -1, 0.0, -0.0, 1e300, 2**70, float("nan"), float("inf")),
]
TEXTS: Final = [*["v", "", "é\0", "7"] * 3, "x" * 1_000, "x" * 1_001, "\ud800"]
BASE64S: Final = [*["", "YQ==", "/+8="] * 5, "YQ", "YR==", "Y Q=", "YQ==\n", "-_8=", "é"]
TYPES: Final = [
    *["text/plain", "x" * 200, "\t"] * 5,
    *("", "a\r\nb: c", "é", "x" * 201, "\x7f"),
]


def txns(media_type: str) -> st.SearchStrategy[object]:
    """Make bodies of transactions: some valid, most invalid in one place or two."""
    keys = KEYS * 4 + _bad_keys(media_type)
    ops, condition = _ops(media_type, keys), _condition(keys)
    op = st.one_of(*ops, *(_spoilt(good, media_type) for good in ops))
    wrong = _txn(op, condition | _spoilt(condition, media_type), length_max=11)
    return right_txns(media_type) | wrong | _spoilt(wrong, media_type) | wild(media_type)


def right_txns(media_type: str) -> st.SearchStrategy[object]:
    """Make bodies of transactions that are mostly valid, whatever the store then decides."""
    return _txn(st.one_of(_ops(media_type, KEYS)), _condition(KEYS), length_max=5)


def _txn(
    op: st.SearchStrategy[object], condition: st.SearchStrategy[object], *, length_max: int
) -> st.SearchStrategy[object]:
    ops, conditions = st.lists(op, max_size=length_max), st.lists(condition, max_size=2)
    return _members({"then": ops}, **{"if": conditions, "else": ops})


def _ops(media_type: str, keys: list[object]) -> list[st.SearchStrategy[object]]:
    forms = {"text": st.sampled_from(TEXTS), "base64": st.sampled_from(BASE64S)}
    if media_type == CBOR:
        forms["value"] = st.sampled_from([b"", b"\xff\0", b"x" * 1_000, b"x" * 1_001])
    key = st.sampled_from(keys)
    types, ttl, number = (st.sampled_from(of) for of in (TYPES, TTLS, NUMBERS))
    version = st.sampled_from([1, 1, 2, 3, 0, 1.0])
    return [
        *(
            _members({"op": "put", "key": key, name: form}, content_type=types, ttl=ttl)
            for name, form in forms.items()
        ),
        _members({"op": "delete", "key": key}),
        _members({"op": "add", "key": key}, by=number),
        _members({"op": "touch", "key": key}, ttl=ttl),
        _members({"op": "restore", "key": key, "version": version}),
    ]


def _condition(keys: list[object]) -> st.SearchStrategy[object]:
    number, version = st.sampled_from(NUMBERS), st.sampled_from([1, 2, 0])
    return _members(
        {"key": st.sampled_from(keys)}, exists=st.booleans(), revision=number, version=version
    )


def _bad_keys(media_type: str) -> list[object]:
    return BAD_KEYS[: 6 if media_type == JSON else None]


def mgets(media_type: str) -> st.SearchStrategy[object]:
    """Make bodies for ``mget``."""
    key = st.sampled_from(KEYS * 6 + _bad_keys(media_type))
    good = _members({"keys": st.lists(st.sampled_from(KEYS), max_size=21)})
    body = _members({"keys": st.lists(key, max_size=21)}, rev=st.sampled_from(NUMBERS))
    return good | body | _spoilt(body, media_type) | wild(media_type)


def wild(media_type: str) -> st.SearchStrategy[object]:
    """Make arbitrary items."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    odd = _NO_JSON if media_type == JSON else [bytes.fromhex(raw) for raw in _NO_CBOR]
    leaves |= st.sampled_from(odd).map(Odd)
    names = st.sampled_from(["op", "key", "then", "if", "text", "keys", "\ud800", "__class__"])
    if media_type == CBOR:
        leaves |= st.binary(max_size=5)
        names |= st.sampled_from([b"then", 1, None, True, 1.5])  # type: ignore[arg-type]
    return st.recursive(
        leaves, lambda of: st.lists(of, max_size=4) | st.dictionaries(names, of, max_size=4)
    )


def _members(
    needed: dict[str, object], **others: st.SearchStrategy[object]
) -> st.SearchStrategy[object]:
    strategies = {
        name: of if isinstance(of, st.SearchStrategy) else st.just(of)
        for name, of in needed.items()
    }
    optional = {name: of | st.none() for name, of in others.items()}
    return st.fixed_dictionaries(strategies, optional=optional)


def _spoilt(good: st.SearchStrategy[object], media_type: str) -> st.SearchStrategy[object]:
    """Make the same item with one member missing, duplicated or replaced."""

    @st.composite
    def spoil(draw: st.DrawFn) -> object:
        members = dict(draw(good))  # type: ignore[call-overload]
        name = draw(st.sampled_from(sorted(members)))
        match draw(st.integers(0, 3)):
            case 0:
                del members[name]
            case 1:
                return Twice(members, name)
            case 2:
                members[name] = draw(wild(media_type))
            case _:
                members[draw(st.sampled_from(["more", "", "OP", "key ", "value", "text"]))] = draw(
                    wild(media_type)
                )
        return members

    return spoil()
