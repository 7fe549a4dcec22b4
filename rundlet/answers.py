"""Turns the answers of a server, headers and bodies, into records."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from rundlet.errors import ServerError
from rundlet.keys import key_bytes
from rundlet.metadata import metadata_of
from rundlet.model import DEFAULT_CONTENT_TYPE, KeyInfo, Value
from rundlet.wire import Fields, decode_body, decode_key


def value_of(key: str, response: httpx.Response) -> Value:
    """Return the value in the answer to a ``GET`` of one key."""
    headers = response.headers
    expires = headers.get("KV-Expires")
    modified = headers.get("Last-Modified")
    return Value(
        key=key,
        data=response.content,
        revision=header_number(response, "KV-Revision"),
        version=header_number(response, "KV-Version"),
        content_type=headers.get("Content-Type", DEFAULT_CONTENT_TYPE),
        expires=datetime.fromisoformat(expires) if expires else None,
        etag=headers.get("ETag"),
        modified=parsedate_to_datetime(modified).astimezone(UTC) if modified else None,
        meta=metadata_of(headers),
    )


def header_number(response: httpx.Response, name: str) -> int:
    """Return a header that is a whole number; raise ``ServerError`` if it is missing."""
    header = response.headers.get(name, "")
    if header.isdecimal():
        return int(header)
    message = f"the answer has no header {name}; is this a Rundlet server?"
    raise ServerError(message)


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
    """Return the query of the next page; its path may lack what a proxy adds in front."""
    link = response.links.get("next")
    return urlsplit(link["url"]).query if link else None
