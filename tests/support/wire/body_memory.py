"""Bodies of the largest size allowed, made to take memory, and what decoding each takes.

    python -m tests.support.wire.body_memory

prints a line for each body: the memory it takes beside its own, as a multiple of its size, and a
name. The process reads its own resident size, so whatever any library allocates counts.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from rundlet_server.functions.limits import (
    mget_body_bytes_max,
    mget_body_items_max,
    txn_body_bytes_max,
    txn_body_items_max,
)
from rundlet_server.functions.messages.decoding import BodyDecoder
from rundlet_server.functions.messages.requests import MgetRequest, Transaction
from rundlet_server.functions.problems import Problem
from rundlet_server.storage.interface import Limits
from tests.support.wire.odd_bodies import CBOR, JSON

MIB: Final = 1024 * 1024
LIMITS: Final = Limits(value_bytes_max=8 * MIB, txn_bytes_max=8 * MIB)
"""The defaults, but for sizes of values: a body of 45 MB tells as much as one of 211 MB."""
WIDE: Final = "😀".encode()
"""One such character makes each of a string's characters take four bytes."""

Body = Callable[[int], bytes]
"""Makes a body of about so many bytes."""


def filled(before: bytes, piece: bytes, after: bytes = b"") -> Body:
    return lambda size: before + piece * ((size - len(before + after)) // len(piece)) + after


def cbor_list(before: bytes, piece: bytes) -> Body:
    """A list that is as long as it says."""

    def make(size: int) -> bytes:
        count = (size - len(before) - 5) // len(piece)
        return before + b"\x9a" + count.to_bytes(4, "big") + piece * count

    return make


def cbor_string(before: bytes, kind: bytes, after: bytes = b"") -> Body:
    def make(size: int) -> bytes:
        length = size - len(before) - 5
        return before + kind + length.to_bytes(4, "big") + b"x" * (length - len(after)) + after

    return make


PUT: Final = b'{"then":[{"op":"put","key":"a",'
CBOR_PUT: Final = bytes.fromhex("a1647468656e81a3626f7063707574636b65796161")

JSON_KEYS: Final = {
    "empty objects": filled(b'{"keys":[', b"{},", b"{}]}"),
    "empty lists": filled(b"[", b"[],", b"[]]"),
    "empty strings": filled(b'{"keys":[', b'"",', b'""]}'),
    "short strings": filled(b'{"keys":[', b'"ab",', b'""]}'),
    "numbers": filled(b"[", b"1.5,", b"1]"),
    "digits": filled(b'{"keys":[', b"9", b"]}"),
    "open lists": filled(b"", b"["),
    "open objects": filled(b"", b'{"a":'),
    "members": filled(b"{", b'"a":1,', b'"a":1}'),
    "escapes": filled(b'{"keys":["', b'\\"', b'"]}'),
    "half surrogate pairs": filled(b'{"keys":["', b"\\ud800", b'"]}'),
    "commas in a string": filled(b'{"keys":["', b",", WIDE + b'"]}'),
    "string without an end": filled(b'{"keys":["', b'\\"', WIDE),
    "string twice": filled(b'{"keys":["', b"x", WIDE + b'"],"keys":[]}'),
}
CBOR_KEYS: Final = {
    "empty maps": cbor_list(b"\xa1\x64keys", b"\xa0"),
    "empty lists": cbor_list(b"\xa1\x64keys", b"\x80"),
    "short texts": cbor_list(b"\xa1\x64keys", b"\x62ab"),
    "floats": cbor_list(b"", b"\xf9\x3c\x01"),
    "nested lists": filled(b"", b"\x81" * 15 + b"\x80"),
    "maps": cbor_list(b"", b"\xa1\x61a\xa1\x61b\x00"),
    "wide text": cbor_string(b"\xa1\x64keys\x81", b"\x7a", WIDE),
}
JSON_TXN: Final = {
    "empty objects": filled(b'{"then":[', b"{},", b"{}]}"),
    "deletes": filled(b'{"then":[', b'{"op":"delete","key":"a"},', b"{}]}"),
    "wide text": filled(PUT + b'"text":"', b"x", WIDE + b'"}]}'),
    "wide text beside null": filled(PUT + b'"ttl":null,"text":"', b"x", WIDE + b'"}]}'),
    "unknown member": filled(PUT + b'"', b"x", WIDE + b'":1}]}'),
    "unknown operation": filled(b'{"then":[{"key":"a","op":"', b"x", WIDE + b'"}]}'),
}
CBOR_TXN: Final = {
    "empty maps": cbor_list(b"\xa1\x64then", b"\xa0"),
    "byte string": cbor_string(CBOR_PUT + b"\x65value", b"\x5a"),
    "wide text": cbor_string(CBOR_PUT + b"\x64text", b"\x7a", WIDE),
}


def multiples() -> Iterator[tuple[str, float]]:
    """What decoding takes, by body."""
    mget = BodyDecoder(MgetRequest, "mget_body_items_max", mget_body_items_max(LIMITS))
    txn = BodyDecoder(Transaction, "txn_body_items_max", txn_body_items_max(LIMITS))
    mget_bytes, txn_bytes = mget_body_bytes_max(LIMITS), txn_body_bytes_max(LIMITS)
    large: list[tuple[str, BodyDecoder[MgetRequest] | BodyDecoder[Transaction], int, str]]
    large = [("mget", mget, mget_bytes, JSON), ("mget", mget, mget_bytes, CBOR)]
    large += [("txn", txn, txn_bytes, JSON), ("txn", txn, txn_bytes, CBOR)]
    for (route, decoder, size, media_type), bodies in zip(
        large, (JSON_KEYS, CBOR_KEYS, JSON_TXN, CBOR_TXN), strict=True
    ):
        for name, make in bodies.items():
            body = make(size)
            assert size * 0.99 < len(body) <= size
            yield f"{route}, {media_type}: {name}", taken(decoder, body, media_type) / size
            del body


def taken(
    decoder: BodyDecoder[MgetRequest] | BodyDecoder[Transaction], body: bytes, media_type: str
) -> int:
    """The most bytes that were resident while a body was decoded, less those before."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    before = resident("VmRSS")
    with suppress(Problem):
        request = decoder.decode(body, media_type)
        if isinstance(request, Transaction):
            request.to_storage(LIMITS)
        else:
            request.require_within(LIMITS)
    return resident("VmHWM") - before


def resident(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    for name, multiple in multiples():
        sys.stdout.write(f"{multiple:.2f} {name}\n")
