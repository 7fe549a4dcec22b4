"""``AsyncLock``: mutual exclusion between processes, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

from rundlet.calls.locks import Lease
from rundlet.errors import LockLost, RundletError
from rundlet.locks import RENEWALS
from rundlet.model import Commit, Condition, Op
from rundlet.sending.async_transport import AsyncTransport
from rundlet.sending.running import run_async


class AsyncLock:
    """A lock that many processes and machines share, for asyncio; see ``Lock``.

    While the lock is held, a task renews it. If a task is cancelled while it waits for the lock, it
    does not hold the lock.

    Attributes:
        name: the key that is the lock; its value names the holder.
    """

    def __init__(self, transport: AsyncTransport, name: str, *, ttl: float, renew: bool) -> None:
        """See ``Client.lock``."""
        self.name = name
        self._transport = transport
        self._lease = Lease(name, ttl)
        self._renews = renew
        self._mutex = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, token={self.token})"

    @property
    def token(self) -> int:
        """The fencing token: greater than that of each earlier holder; 0 before ``acquire``."""
        return self._lease.token

    @property
    def is_held(self) -> bool:
        """Whether the lock is certainly held, by this process's clock."""
        return self._lease.left_s > 0

    async def acquire(self, *, timeout_s: float | None = None) -> bool:
        """Wait for the lock; return false if it was not free within ``timeout_s`` seconds.

        Raises:
            RuntimeError: this object already holds the lock.
        """
        if self.is_held:
            raise RuntimeError("this lock is held; it is not reentrant")
        answer_s = self._transport.origin.timeout_s
        try:
            is_held = await run_async(
                self._lease.acquire(timeout_s, answer_s), self._transport.send
            )
        except asyncio.CancelledError:
            with contextlib.suppress(RundletError):  # the lock then expires
                await run_async(self._lease.withdraw(), self._transport.send)
            raise
        if is_held and self._renews:
            self._task = asyncio.create_task(self._renew(), name=f"renew {self.name}")
        return is_held

    async def release(self) -> None:
        """Release the lock.

        Raises:
            LockLost: the lock was lost before.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if not await run_async(self._lease.release(), self._transport.send):
            raise self._lease.lost()

    async def txn(self, then: Sequence[Op], *, conditions: Sequence[Condition] = ()) -> Commit:
        """Do as ``Client.txn`` does, if the lock is still held at the moment of the commit.

        Raises:
            LockLost: the lock is not held; nothing was changed.
        """
        async with self._mutex:
            return await run_async(self._lease.txn(then, conditions), self._transport.send)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease.ttl / RENEWALS)
            if not self.is_held:
                return
            async with self._mutex:
                with contextlib.suppress(RundletError):  # try again until the lock expires
                    await run_async(self._lease.renew(), self._transport.send)

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.release()
        except LockLost:
            if kind is None:
                raise
