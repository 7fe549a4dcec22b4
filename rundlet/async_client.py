"""The client for ``async`` and ``await``."""

from __future__ import annotations

from os import PathLike
from typing import Self

from rundlet.methods.files import AsyncFileMethods
from rundlet.methods.many import AsyncManyMethods
from rundlet.methods.past import AsyncPastMethods
from rundlet.methods.server import AsyncServerMethods
from rundlet.methods.transfers import AsyncTransferMethods
from rundlet.methods.values import AsyncValueMethods
from rundlet.methods.waiting import AsyncWaitingMethods
from rundlet.model import DEFAULT_URL
from rundlet.sending.async_transport import AsyncTransport
from rundlet.sending.origin import Origin, Settings


class AsyncClient(
    AsyncValueMethods,
    AsyncManyMethods,
    AsyncFileMethods,
    AsyncTransferMethods,
    AsyncWaitingMethods,
    AsyncPastMethods,
    AsyncServerMethods,
):
    """A connection to a Rundlet server for asyncio; may be used by many tasks.

    It has the methods of ``Client``, whose documentation describes them and their errors. Await the
    results of methods, and use ``async for`` with iterators.

    Any number of tasks may send requests; 100 requests are in flight at a time, besides watches and
    exports.

    One event loop uses the client at a time; another loop gets its own connections. If a task is
    cancelled, its connection is closed; a write that it was sending may have been applied.

    The arguments are those of ``Client``.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 3,
        ca_file: str | PathLike[str] | None = None,
        idempotent_retries: bool = False,
    ) -> None:
        self._origin = Origin(url, Settings(token, timeout_s, retries, ca_file, idempotent_retries))
        self._transport = AsyncTransport(self._origin)

    async def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
