"""Keys that servers are known to confuse, in every spelling that a request target allows.

Each target is made from the bytes of its key, so the expected key is known without decoding it.
"""

from __future__ import annotations

import base64
import random
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

KEY_BYTES_MAX: Final = 2_048

_PIECES: Final = (
    *("a", "A", "b", "/", "//", ".", "..", "/./", "/../", "...", "+", " ", "%"),
    *("%41", "%2F", "%zz"),
    *(
        "é",
        "e\u0301",
        "Å",
        "\u212b",
        "ﬁ",
        "fi",
        "ß",
        "SS",
        "ẞ",
        "İ",
        "i̇",
        "\u0131",
        "K",
        "\u212a",
        "ς",
    ),
    *("\0", "\n", "\r\n", "\t", "\x7f", "\x1b[", "\x85", "\u2028", "\ufeff", "\u200d", "\u202e"),
    *("\ufffd", "\ufffe", "\uffff", "😀", "\U0010ffff", "?", "#", "&", "=", ";", ":", "@", "\\"),
    *("'", '"', "<", ">", "|", "^", "`", "{", "}", "[", "]", "*", "!", "~", "_", "-", "$"),
    *(",", "(", ")"),
    *("v1", "kv", "kv64", "null", "\xa0", "\xff", "\x80", "\uff11", "²", "٣", "字"),
    *("x" * 500, "字" * 200),
)
_BROKEN: Final = (
    *(
        b"\xff",
        b"\xfe",
        b"\x80",
        b"\xc3",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf8\x88",
    ),
    *(b"\xf4\x90\x80\x80", b"\xef\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xc1\x81", b"\xe2\x28\xa1"),
)
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~")
_MAY_BE_RAW: Final = frozenset(b"./+:@!$&'()*,;=")
"""What RFC 3986 allows in a path beside the unreserved: there it means nothing but itself."""


class Spelling(NamedTuple):
    """A key as a request target spells it.

    Attributes:
        target: the path, ASCII only.
        key: the key that it names; ``None`` if the server must reject it.
    """

    target: str
    key: str | None


def spellings(chance: random.Random, count: int) -> Iterator[Spelling]:
    """Yield spellings; many of them are of the same key as the one before, or of a similar one."""
    last = "a"
    for _ in range(count):
        kind = chance.randrange(10)
        if kind == 0:
            yield _broken(chance)
            continue
        if kind < 5:
            last = _variant(chance, last)
        else:
            last = "".join(chance.choices(_PIECES, k=chance.randrange(1, 6)))
        yield _base64url(last) if kind == 9 else _in_path(chance, last)


def canonical(key: str) -> str:
    """Return the target that no client or proxy has a reason to rewrite."""
    return "/v1/kv64/" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _variant(chance: random.Random, key: str) -> str:
    """Return a key that some known server confuses with this one, or this one itself."""
    position = chance.randrange(len(key) + 1)
    variant = chance.choice(
        [
            *(key, unicodedata.normalize("NFC", key), unicodedata.normalize("NFD", key)),
            *(unicodedata.normalize("NFKC", key), key.lower(), key.upper(), key.casefold()),
            *(key.replace("+", " "), key.replace(" ", "+"), key.replace("//", "/"), key + "/"),
            *("/" + key, key.strip(), key.rstrip("/."), key.replace("\\", "/"), key + "\0"),
            *(key.replace("%", "%25"), key.replace("%41", "A"), key.partition("?")[0], key + "%"),
            *(key.partition("#")[0], key.partition(";")[0], key.partition("\0")[0], key[:-1]),
            *(key[:position] + chance.choice("\ufffd?/. ") + key[position:], key + key[-1:]),
            key.encode().decode("latin-1"),
        ]
    )
    return (variant or "a")[:1_000]


def _in_path(chance: random.Random, key: str) -> Spelling:
    target = "/v1/kv/" + _percent(chance, key.encode())
    size = len(key.encode())
    is_refused = size > KEY_BYTES_MAX or not {".", ".."}.isdisjoint(key.split("/"))
    return Spelling(target, None if is_refused else key)


def _base64url(key: str) -> Spelling:
    return Spelling(canonical(key), key if len(key.encode()) <= KEY_BYTES_MAX else None)


def _broken(chance: random.Random) -> Spelling:
    """Return bytes that are not UTF-8; a server must not replace them by U+FFFD."""
    around = [chance.choice(_PIECES[:7]).encode() for _ in range(2)]
    key = chance.choice(_BROKEN).join(around)
    if chance.randrange(3):
        return Spelling("/v1/kv/" + _percent(chance, key), None)
    return Spelling("/v1/kv64/" + base64.urlsafe_b64encode(key).decode().rstrip("="), None)


def _percent(chance: random.Random, key: bytes) -> str:
    """Escape every byte that must be escaped and some others, in upper or lower case."""
    share = chance.choice([0.0, 0.0, 0.3, 1.0])
    form = chance.choice(["%{:02X}", "%{:02x}"])
    return "".join(
        chr(byte)
        if (byte in _PLAIN or byte in _MAY_BE_RAW) and chance.random() >= share
        else form.format(byte)
        for byte in key
    )
