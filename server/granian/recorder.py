"""The thread that writes the audit trail for the other threads of a worker.

If the disk of the trail is slow, or nothing reads the pipe that stderr is, a line may take seconds.
Requests that are recorded wait for their lines, because no client may see an answer before the
trail has the line. The event loop serves all others meanwhile, and the committing thread commits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final

_END_S: Final = 1.0

_logger = logging.getLogger("rundlet.server")


class Recorder:
    """The queue, and its thread."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rundlet-record", daemon=True)
        self._thread.start()

    def submit(self, do: Callable[[], None]) -> None:
        """Call a function in the thread; any thread may call this."""
        self._queue.put(do)

    async def recorded(self, do: Callable[[], None]) -> None:
        """Call a function in the thread, and wait until it returns or raises."""
        done: Future[None] = Future()

        def record() -> None:
            try:
                do()
            except Exception as ex:
                done.set_exception(ex)
            else:
                done.set_result(None)

        self._queue.put(record)
        await asyncio.wrap_future(done)

    def end(self) -> None:
        """Call the queued functions, and end the thread; if they take too long, leave it behind."""
        self._queue.put(None)
        self._thread.join(_END_S)

    def _run(self) -> None:
        while (do := self._queue.get()) is not None:
            try:
                do()
            except Exception:
                _logger.exception("the audit trail could not be written")
            del do  # it refers to answers, which need not wait for the next call
