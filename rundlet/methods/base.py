"""The base classes of the clients' methods, which run operations."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import urlencode

import httpx

from rundlet.calls.call import Call, Feeding, Listing
from rundlet.keys import key_path
from rundlet.sending.origin import Origin
from rundlet.sending.running import (
    run,
    run_async,
    run_each,
    run_each_async,
    run_fed,
    run_fed_async,
)
from rundlet.sending.transport import Transport

if TYPE_CHECKING:  # it imports asyncio, which takes a third of the time that httpx takes
    from rundlet.sending.async_transport import AsyncTransport

T = TypeVar("T")
Row = TypeVar("Row")


class Addressed:
    """The methods of both clients that need no request."""

    _origin: Origin

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._origin.base_url

    def url_of(self, key: str, *, is_prefix: bool = False) -> str:
        """Return the address of a key's value, or of the list of keys under a prefix."""
        if is_prefix:
            return f"{self.url}/v1/keys?{urlencode({'prefix': key})}"
        return self.url + key_path(key)

    def __repr__(self) -> str:
        url = httpx.URL(self.url).copy_with(userinfo=b"")  # it may have a password
        return f"{type(self).__name__}('{url}')"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, because that would write the token down."""
        name = type(self).__name__
        message = (
            f"a {name} cannot be sent to another process; send its url, and make a {name} there"
        )
        raise TypeError(message)


class Methods(Addressed):
    """Runs operations in the calling thread."""

    _transport: Transport

    def _run(self, call: Call[T]) -> T:
        return run(call, self._transport.send)

    def _each(self, listing: Listing[T]) -> Iterator[T]:
        return run_each(listing, self._transport.send)

    def _feed(self, feeding: Feeding[Row, T], rows: Iterable[Row]) -> T:
        return run_fed(feeding, rows, self._transport.send)


class AsyncMethods(Addressed):
    """Runs operations in the calling task."""

    _transport: AsyncTransport

    async def _run(self, call: Call[T]) -> T:
        return await run_async(call, self._transport.send)

    def _each(self, listing: Listing[T]) -> AsyncIterator[T]:
        return run_each_async(listing, self._transport.send)

    async def _feed(self, feeding: Feeding[Row, T], rows: Iterable[Row] | AsyncIterable[Row]) -> T:
        return await run_fed_async(feeding, rows, self._transport.send)
