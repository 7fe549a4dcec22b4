"""The raw request target: its path, and the key in it.

Falcon's own ``req.path`` is percent-decoded by the WSGI server and then decoded leniently:
``%2F`` becomes ``/``, and broken UTF-8 becomes U+FFFD, so that two keys become one. So routes and
keys are read from the target as the client sent it, if the server provides it: the servers of
``rundlet serve`` and uWSGI as ``REQUEST_URI``, gunicorn as ``RAW_URI``. With ``PATH_INFO`` alone, a
malformed ``%`` looks like an ordinary character, and ``/v1%2Fkv`` like an ordinary path.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from rundlet_server.functions.problems import Problem, key_too_long
from rundlet_server.functions.route_table import KV, KV64

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BASE64URL = re.compile(r"[A-Za-z0-9_\-]+")


def raw_path(environ: Mapping[str, str]) -> str:
    """Return the path of the request target, percent-encoded as needed, ASCII only."""
    target = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not target or not target.isascii():
        # There is no raw target, or it has raw bytes above 127, which each server spells in its
        # own way. PATH_INFO is the same everywhere: the decoded bytes, read as latin-1.
        path = environ["PATH_INFO"]
        is_plain = path.isascii() and "%" not in path
        return path if is_plain else quote(path.encode("latin-1"))
    origin = _ORIGIN.match(target) if target[0] != "/" else None
    if origin:
        target = target[origin.end() :]
    return target.partition("?")[0].partition("#")[0] or "/"


def key_from_path(encoded: str, key_bytes_max: int) -> str:
    """Return the key that a path names after the base of its route.

    Raises:
        Problem: 400 ``bad-key``, 414 ``key-too-long``.
    """
    if "%" not in encoded and 0 < len(encoded) <= key_bytes_max:
        key = encoded  # ASCII, so one byte a character: nothing to decode
    else:
        key = _decode_utf8(decode_percent(encoded), key_bytes_max)
    if "." in key and not {".", ".."}.isdisjoint(key.split("/")):
        raise bad_key(
            "a '.' or '..' segment in a path is rewritten by many clients and proxies; "
            f"send this key as base64url to {KV64.base} instead"
        )
    return key


def key_from_base64url(encoded: str, key_bytes_max: int) -> str:
    """Return the key that a path names in base64url; each key has one spelling.

    Raises:
        Problem: 400 ``bad-key``, 414 ``key-too-long``.
    """
    if encoded and not _BASE64URL.fullmatch(encoded):
        raise bad_key(
            f"the key after {KV64.base} is not base64url; send only A-Z a-z 0-9 - _ and no padding"
        )
    try:
        key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error as ex:
        raise bad_key(
            f"the key after {KV64.base} has a length that base64url never has; encode it again"
        ) from ex
    if base64.urlsafe_b64encode(key).rstrip(b"=") != encoded.encode():
        raise bad_key(
            f"the last character of the key after {KV64.base} has unused bits that are not 0;"
            " encode it again"
        )
    return _decode_utf8(key, key_bytes_max)


def decode_percent(encoded: str) -> bytes:
    """Percent-decode once.

    Raises:
        Problem: 400 ``bad-key``: a ``%`` without two hex digits after it.
    """
    if "%" not in encoded:
        return encoded.encode()
    if _BROKEN_ESCAPE.search(encoded):
        raise bad_key("every '%' in the path needs two hex digits after it; send '%25' for '%'")
    return unquote_to_bytes(encoded)


def bad_key(detail: str) -> Problem:
    """Return the answer to a malformed key."""
    return Problem(400, "bad-key", detail)


def _decode_utf8(key: bytes, key_bytes_max: int) -> str:
    if not key:
        raise bad_key("the key is empty; put it after the last slash of the path")
    if len(key) > key_bytes_max:
        raise key_too_long(key_bytes_max, len(key))
    try:
        return key.decode()
    except UnicodeDecodeError as ex:
        raise bad_key("the key is not UTF-8 once decoded; encode its UTF-8 bytes") from ex


VALUE_ROUTES: Final = ((KV, key_from_path), (KV64, key_from_base64url))
"""The routes of single values, each with the decoder of the key in its path."""
