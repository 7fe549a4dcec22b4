"""Wake the requests of an event loop that wait for commits: one thread watches for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Final

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.timeline import Timeline

_LOOK_EVERY_S: Final = 1.0


class HeadWatch:
    """Waits for the head of a store to rise."""

    def __init__(self, store: Timeline, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without a thread."""
        self._store = store
        self._loop = loop
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._is_wanted = threading.Event()
        self._thread: threading.Thread | None = None

    async def wait(self, since: int, timeout_s: float) -> int:
        """Return the head as soon as it is above ``since``, after the timeout, or at the end."""
        head = self._store.wait(since, 0)
        if head > since or timeout_s <= 0:
            return head
        future = self._loop.create_future()
        self._waiting[future] = since
        self._watch()
        timer = self._loop.call_later(timeout_s, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            del self._waiting[future]
            if not self._waiting:
                self._is_wanted.clear()
        return self._store.wait(since, 0)

    def wake_all(self) -> None:
        """End all waits."""
        for future in self._waiting:
            _wake(future)

    def _watch(self) -> None:
        self._is_wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="rundlet-watch-head", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        known = 0
        while True:
            self._is_wanted.wait()
            try:
                head = self._store.wait(known, _LOOK_EVERY_S)
            except StoreError:  # the requests see it when they look
                time.sleep(_LOOK_EVERY_S)
                head = known + 1
            if head > known:
                known = head
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._wake_below, head)

    def _wake_below(self, head: int) -> None:
        for future, since in self._waiting.items():
            if since < head:
                _wake(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
