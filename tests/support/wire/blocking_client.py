"""Call ``AsyncClient`` as ``Client`` is called, so that one test tries both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Self, TypeVar

from rundlet import AsyncClient

T = TypeVar("T")


class BlockingClient:
    """An ``AsyncClient`` in an event loop of its own thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = AsyncClient(*args, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            result = found(*args, **options)
            if inspect.iscoroutine(result):
                return self._wait(result)
            return self._each(result) if isinstance(result, AsyncIterator) else result

        return call

    def close(self) -> None:
        """End the loop and its thread."""
        if not self._loop.is_closed():
            self._wait(self._client.close())
            self._wait(self._loop.shutdown_asyncgens())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _each(self, results: AsyncIterator[T]) -> Iterator[T]:
        end: Any = object()

        async def following() -> T:
            return await anext(results, end)

        while (result := self._wait(following())) is not end:
            yield result

    def _wait(self, waiting: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(waiting, self._loop).result()
