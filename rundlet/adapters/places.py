"""The addresses of adapters: a server, and the prefix of all keys of an adapter."""

from __future__ import annotations

import functools
import os
from typing import Final

from rundlet.client import Client
from rundlet.errors import BadRequest

PROTOCOLS: Final = {"rundlet": "http", "rundlets": "https"}
"""The schemes of addresses that name a key or a prefix, with the scheme of the server."""

TOKEN_VARIABLE: Final = "RUNDLET_TOKEN"  # noqa: S105 - its name


def split_address(address: str) -> tuple[str, str]:
    """Return the server and the key of ``rundlet://HOST:PORT/KEY``; the key may be empty.

    The key in the address is not percent-encoded.

    Raises:
        BadRequest: the address does not have this form.
    """
    scheme, _, rest = address.partition("://")
    host, _, key = rest.partition("/")
    if scheme not in PROTOCOLS or not host:
        message = f"{address!r} is no address of a key; write it as rundlet://HOST:PORT/KEY"
        raise BadRequest(message)
    return f"{PROTOCOLS[scheme]}://{host}", key


def split_prefix(address: str) -> tuple[str, str]:
    """Return the server and the prefix of ``rundlet://HOST:PORT/PREFIX``, with a slash at its end.

    Raises:
        BadRequest: the address does not have this form, or has no prefix.
    """
    url, folder = split_address(address.rstrip("/"))
    if not folder:
        message = (
            f"{address!r} names a whole store, and to clear it here would remove all keys; "
            "write it as rundlet://HOST:PORT/PREFIX"
        )
        raise BadRequest(message)
    return url, f"{folder}/"


def token_or_variable(token: str | None) -> str | None:
    """Return the token, or the value of the variable RUNDLET_TOKEN."""
    return token or os.environ.get(TOKEN_VARIABLE) or None


def refuse_token(token: str | None) -> None:
    """Refuse to pickle an object with a token of its own, because that would write the token down.

    Raises:
        TypeError: the object has a token.
    """
    if token is not None:
        message = (
            f"what has a token cannot be sent to another process; set {TOKEN_VARIABLE} in both"
        )
        raise TypeError(message)


@functools.cache
def shared_client(url: str, token: str | None) -> Client:
    """Return the client of this process for a server; all adapters share it.

    Frameworks make an adapter for each thread or request, and few of them close it.
    """
    return Client(url, token=token)
