"""Where an adapter keeps its data: a server, and the prefix of all keys there."""

from __future__ import annotations

import functools
import os
from typing import Final

from rundlet.client import Client
from rundlet.errors import BadRequest

PROTOCOLS: Final = {"rundlet": "http", "rundlets": "https"}
"""The schemes of addresses that name a key or a prefix, and what the server there speaks."""

TOKEN_VARIABLE: Final = "RUNDLET_TOKEN"  # noqa: S105 - its name


def split_address(address: str) -> tuple[str, str]:
    """Return the server and the key of ``rundlet://HOST:PORT/KEY``, whose key may be empty.

    The key stands there as it is, without percent-encoding.

    Raises:
        BadRequest: the address is another one.
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
        BadRequest: it is another address, or has no prefix.
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
    """Return the token, or that of the environment."""
    return token or os.environ.get(TOKEN_VARIABLE) or None


def refuse_token(token: str | None) -> None:
    """Let nothing that has a token of its own be sent to another process, which writes it down.

    Raises:
        TypeError: there is a token.
    """
    if token is not None:
        message = (
            f"what has a token cannot be sent to another process; set {TOKEN_VARIABLE} in both"
        )
        raise TypeError(message)


@functools.cache
def shared_client(url: str, token: str | None) -> Client:
    """Return the client of this process for a server, which it keeps.

    Frameworks make one adapter for each thread or request, and few of them ever close one.
    """
    return Client(url, token=token)
