"""The path of a key below the server's address.

``/v1/kv/KEY`` reads well, but clients and proxies rewrite some paths on the way: they
resolve ``.`` and ``..``, merge ``//``, turn backslashes into slashes and refuse control
characters, percent-encoded or not. Keys with any of these are sent as
``/v1/kv64/BASE64URL``, which has nothing that is rewritten.
"""

from __future__ import annotations

import base64
import re
from typing import TypeVar
from urllib.parse import quote

from rundlet.errors import BadRequest

Keys = TypeVar("Keys")

_REWRITTEN_SEGMENTS = frozenset({"", ".", ".."})
_REWRITTEN_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def key_path(key: str) -> str:
    """Return the path of a key's value, such as ``/v1/kv/users/42`` or ``/v1/kv64/Li4``.

    Raises:
        BadRequest: the key is empty or not encodable as UTF-8 (a lone surrogate).
    """
    raw = key_bytes(key)
    if _is_rewritten_on_the_way(key):
        return "/v1/kv64/" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
    return "/v1/kv/" + quote(raw, safe="/")


def key_bytes(key: str) -> bytes:
    """Return the UTF-8 bytes of a key, by which keys are ordered.

    Raises:
        BadRequest: the key is empty or not encodable as UTF-8 (a lone surrogate).
        TypeError: the key is not text.
    """
    if not key:
        message = "the key is empty; give a key of at least one character"
        raise BadRequest(message)
    try:
        return key.encode()
    except UnicodeEncodeError as ex:
        message = f"key {key!r} is not encodable as UTF-8; keys are Unicode text"
        raise BadRequest(message) from ex
    except AttributeError as ex:
        message = f"a key is text, got {type(key).__name__}"
        raise TypeError(message) from ex


def several(keys: Keys) -> Keys:
    """Return ``keys`` unless it is a single text, which would iterate over its characters.

    Raises:
        TypeError: ``keys`` is a single text.
    """
    if isinstance(keys, str):
        message = f"these are to be many keys, got the text {keys!r}; write it as [{keys!r}]"
        raise TypeError(message)
    return keys


def _is_rewritten_on_the_way(key: str) -> bool:
    if _REWRITTEN_CHARACTERS.search(key):
        return True
    return not _REWRITTEN_SEGMENTS.isdisjoint(key.split("/"))
