"""Metadata of values in headers: ``KV-Meta-NAME: text``, percent-encoded where that is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

import httpx

from rundlet.errors import BadRequest

_PREFIX = "kv-meta-"
_ENCODED_PREFIX = _PREFIX.encode()
_NAME = re.compile(r"[A-Za-z0-9-]+")
_ENCODED = re.compile(r"^ +| +$|[^\x20-\x24\x26-\x7e]+")


def metadata_headers(meta: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that store metadata.

    Raises:
        BadRequest: a name cannot be part of a header, or a text has no UTF-8 form.
    """
    headers = {}
    for name, text in meta.items():
        if not _NAME.fullmatch(name):
            message = f"{name!r} is no name of metadata; write letters a to z, digits and '-'"
            raise BadRequest(message)
        header = _PREFIX + name.lower()
        if header in headers:
            message = f"the metadata has {name.lower()!r} twice; names are the same in any case"
            raise BadRequest(message)
        try:
            headers[header] = _ENCODED.sub(_percent_encoded, text)
        except UnicodeEncodeError as ex:
            message = f"the metadata {name!r} cannot be encoded as UTF-8"
            raise BadRequest(message) from ex
    return headers


def metadata_of(headers: httpx.Headers) -> dict[str, str]:
    """Return the metadata in the headers of an answer."""
    return {
        name[len(_PREFIX) :].decode().lower(): unquote(text.decode("latin-1"))
        for name, text in headers.raw  # as text, all of them would be decoded
        if name[: len(_PREFIX)].lower() == _ENCODED_PREFIX
    }


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
