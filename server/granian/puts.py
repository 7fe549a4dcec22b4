"""Plain PUTs, answered in the event loop without the WSGI application; see ``QuickPut``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rundlet_server.functions.monitoring.measures import QuickPuts
from rundlet_server.server.granian.bodies import BrokenOffError, Message, Patience, Receive
from rundlet_server.server.granian.connections import close_connection
from rundlet_server.server.granian.environ import Scope
from rundlet_server.server.granian.exchange import CLOSE, Send
from rundlet_server.server.granian.waiting import LoopWaits


class LoopPuts:
    """Answers plain PUTs whose bodies come in one piece."""

    def __init__(
        self,
        begin: QuickPuts | None,
        waits: LoopWaits,
        patience: Patience,
        is_ending: Callable[[], bool],
    ) -> None:
        self._begin = begin
        self._waits = waits
        self._patience = patience
        self._is_ending = is_ending

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a PUT without a query if it is plain.

        Returns:
            ``None`` if it is answered; otherwise what receives all of its body.
        """
        put = None if self._begin is None else self._begin(scope["raw_path"], scope["headers"])
        if put is None:
            return receive
        try:
            message = await self._patience.wait_for(receive())
        except BrokenOffError:
            close_connection(scope["client"])
            return None
        value = message["body"] if message["type"] == "http.request" else b""
        txn = put.txn(value) if len(value) == put.size else None
        commit = None if txn is None else self._waits.submit(txn)
        if commit is None:
            return _once_more(message, receive)
        status, headers, body = put.answer(await commit)
        if self._is_ending():
            headers.append(CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return None


def _once_more(message: Message, receive: Receive) -> Receive:
    """Return what receives ``message`` first, and then what ``receive`` does."""
    first = [message]

    def receive_again() -> asyncio.Future[Message]:
        if not first:
            return receive()
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        future.set_result(first.pop())
        return future

    return receive_again
