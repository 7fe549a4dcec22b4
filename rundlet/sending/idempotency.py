"""Idempotency keys: a write with a key may be sent again if no answer comes.

The server applies a request with a key only once. An older server would ignore the key and apply
the request again, so the client first checks in ``/v1`` that the server supports keys.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Final, Protocol

import httpx

from rundlet.calls.call import Pause, Request
from rundlet.errors import ServerError
from rundlet.sending.retrying import IDEMPOTENCY_KEY, attempts

_ROUTES: Final = ("/v1/kv/", "/v1/kv64/", "/v1/keys?", "/v1/txn", "/v1/rollback")
_LIMIT: Final = "idempotency_s"


class Server(Protocol):
    """The state of a server that retries depend on.

    Attributes:
        retries: how often to send a request again.
        has_keys: send keys with writes.
        remembers_keys: the server has reported that it supports keys.
    """

    retries: int
    has_keys: bool
    remembers_keys: bool


def safe_attempts(
    request: Request, server: Server
) -> Generator[Request | Pause, httpx.Response, httpx.Response]:
    """Do as ``attempts`` does; send a key if the route supports keys.

    Raises:
        ServerError: the server does not support keys; the request was not sent.
        RundletError: as ``attempts``.
    """
    if server.has_keys and request.is_write and request.path.startswith(_ROUTES):
        if not server.remembers_keys:
            yield from _require_memory(server)
            server.remembers_keys = True
        request = _with_key(request)
    return (yield from attempts(request, server.retries))


def _require_memory(server: Server) -> Generator[Request | Pause, httpx.Response, None]:
    response = yield from attempts(Request("GET", "/v1", is_write=False), server.retries)
    try:
        remembers = _LIMIT in response.json()["limits"]
    except (ValueError, LookupError, TypeError):
        remembers = False
    if not remembers:
        message = (
            f"{response.request.url} does not say that it remembers idempotency keys; update the"
            " server, or make the client without idempotent_retries"
        )
        raise ServerError(message)


def _with_key(request: Request) -> Request:
    """Return the request with a new unique key."""
    headers = {**request.headers, IDEMPOTENCY_KEY: f'"{uuid.uuid4()}"'}
    return request._replace(headers=headers)
