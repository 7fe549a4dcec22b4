"""The types of operations, which are generators without I/O.

An operation yields a ``Request`` to send, or a ``Pause``; it is resumed with the answer, and
returns its result. An error of the request is thrown into it. So an operation decides what to send
and interprets the answers, but does not wait: ``rundlet.sending.running`` waits, once with threads
and once with ``await``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

import httpx

from rundlet.calls.bodies import FileBody
from rundlet.errors import ServerError
from rundlet.wire import ACCEPTED_TYPES, CBOR_TYPE

T = TypeVar("T")
Row_contra = TypeVar("Row_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Request(NamedTuple):
    """One request, which may be sent several times.

    Attributes:
        path: raw path below the server's address, with the query, percent-encoded.
        is_write: the request may change something, so it is sent again only if it was not applied.
        wait_s: the request lets the server wait so long before it answers.
    """

    method: str
    path: str
    is_write: bool
    headers: Mapping[str, str] = _NO_HEADERS
    body: bytes | FileBody | None = None
    wait_s: float = 0


class Pause(NamedTuple):
    """A wait before the next request."""

    seconds: float


Call: TypeAlias = Generator[Request | Pause, httpx.Response, T]
"""An operation. Each answer is a success, or means that the key does not exist."""

Listing: TypeAlias = Generator[Request | Pause | list[T], httpx.Response, None]
"""An operation with many results; it yields a list of results for each answer."""

Progress: TypeAlias = Callable[[int], None]
"""Called with the number of rows that are done."""


class Feeding(Protocol[Row_contra, T_co]):
    """An operation on rows that are added one by one."""

    def add(self, row: Row_contra) -> Call[None] | None:
        """Add a row; return an operation to run before the next row, or mostly ``None``."""

    def end(self) -> Call[T_co]:
        """Return the operation to run at the end."""


def read(path: str, *, wait_s: float = 0) -> Request:
    """Return the request that reads something other than a value."""
    return Request("GET", path, False, {"Accept": ACCEPTED_TYPES}, wait_s=wait_s)


def post(path: str, body: bytes, *, is_write: bool, method: str = "POST") -> Request:
    """Return the request that sends a body in CBOR."""
    headers = {"Content-Type": CBOR_TYPE, "Accept": ACCEPTED_TYPES}
    return Request(method, path, is_write, headers, body)


def needed(response: httpx.Response) -> httpx.Response:
    """Return the answer of a route that every server has.

    Raises:
        ServerError: the server does not have the route.
    """
    if response.status_code == 404:
        url = response.request.url
        message = f"{url.copy_with(raw_path=b'/')} knows no {url.path}; is it an older server?"
        raise ServerError(message)
    return response
