"""Turns the answers of a server, headers and bodies, into records."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

from rundlet.errors import ServerError
from rundlet.keys import key_bytes
from rundlet.model import DEFAULT_CONTENT_TYPE, KeyInfo, Value
from rundlet.wire import Fields, decode_body, decode_key, metadata_of


def value_of(key: str, response: httpx.Response) -> Value:
    """Return the value in the answer to a ``GET`` of one key."""
    headers = _headers_of(response)
    return Value(
        key=key,
        data=response.content,
        revision=_number(headers, b"kv-revision"),
        version=_number(headers, b"kv-version"),
        content_type=headers.get(b"content-type", DEFAULT_CONTENT_TYPE),
        expires=_time(headers.get(b"kv-expires")),
        etag=headers.get(b"etag"),
        modified=_http_time(headers.get(b"last-modified")),
        meta=metadata_of(headers),
    )


def info_of(key: str, response: httpx.Response) -> KeyInfo:
    """Return the details of a key in the answer to a ``HEAD``."""
    headers = _headers_of(response)
    return KeyInfo(
        key=key,
        revision=_number(headers, b"kv-revision"),
        version=_number(headers, b"kv-version"),
        size=_number(headers, b"content-length"),
        content_type=headers.get(b"content-type", DEFAULT_CONTENT_TYPE),
        time=_http_time(headers.get(b"last-modified")),
        expires=_time(headers.get(b"kv-expires")),
        etag=headers.get(b"etag"),
        meta=metadata_of(headers),
    )


def is_absent(response: httpx.Response) -> bool:
    """Return whether an answer means that the key does not exist; other answers are successes."""
    return response.status_code == 404


def header_number(response: httpx.Response, name: str) -> int:
    """Return a header that is a whole number; raise ``ServerError`` if it is missing."""
    return _number(_headers_of(response), name.lower().encode())


def fields_of(response: httpx.Response) -> Fields:
    """Return the object in the body of an answer."""
    return decode_body(response.content, response.headers.get("Content-Type", ""))


def page_of(response: httpx.Response, *, reverse: bool, values: bool) -> list[KeyInfo]:
    """Return the keys and prefixes of one page of a list, merged in order."""
    page = fields_of(response)
    keys = [decode_key(row, has_value=values) for row in page.rows("keys")]
    prefixes = [KeyInfo(prefix, is_prefix=True) for prefix in page.texts("prefixes")]
    if not prefixes:
        return keys
    return sorted(keys + prefixes, key=lambda info: key_bytes(info.key), reverse=reverse)


def next_page_query(response: httpx.Response) -> str | None:
    """Return the query of the next page; its path may lack the prefix of a proxy."""
    link = response.links.get("next")
    return urlsplit(link["url"]).query if link else None


def _headers_of(response: httpx.Response) -> dict[bytes, str]:
    """Return all headers at once, because httpx searches the whole list for each single one."""
    return {name.lower(): text.decode("latin-1") for name, text in response.headers.raw}


def _number(headers: dict[bytes, str], name: bytes) -> int:
    header = headers.get(name, "")
    if header.isdecimal():
        return int(header)
    message = f"the answer has no header {name.decode()}; is this a Rundlet server?"
    raise ServerError(message)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@lru_cache(maxsize=64)
def _http_time(text: str | None) -> datetime | None:
    return parsedate_to_datetime(text).astimezone(UTC) if text else None
