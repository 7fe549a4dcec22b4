"""The thread that commits for all requests of a worker's event loop.

It takes all transactions that are queued and commits them as one group, while those that come
meanwhile form the next. So a group is as large as the disk is slow, and no request has a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final

from rundlet_server.storage.interface import CommitsGroups, Txn
from rundlet_server.storage.outcomes.results import Commit

Outcome = Commit | Exception
Tell = Callable[[Outcome], None]
"""Tells whoever waits of the outcome; it must not raise."""
CommitFor = Callable[[Txn, Tell], bool]
"""Queues a transaction and returns true, or returns false; any thread may call it."""

_Submitted = tuple[Txn, "Tell | asyncio.Future[Outcome]"]

_END_S: Final = 10.0


class Committer:
    """The queue, and its thread."""

    def __init__(self, store: CommitsGroups, loop: asyncio.AbstractEventLoop) -> None:
        """Commit to ``store`` what is submitted in ``loop``."""
        self._store = store
        self._loop = loop
        self._submitted: list[_Submitted] = []
        self._queue: SimpleQueue[Sequence[_Submitted] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rundlet-commit", daemon=True)
        self._thread.start()

    def submit(self, txn: Txn) -> asyncio.Future[Outcome]:
        """Queue a transaction; call it in the loop.

        The thread gets all transactions of one turn of the loop at once: were it woken by the first
        of them, it would compete with the loop for the interpreter, and commit smaller groups.

        Returns:
            What will hold the commit, or the exception that ``Store.commit`` would raise.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._submitted:
            self._loop.call_soon(self._hand_over)
        self._submitted.append((txn, future))
        return future

    def commit_for(self, txn: Txn, tell: Tell) -> None:
        """Queue a transaction; the thread that commits it will ``tell``. Any thread may call it."""
        self._queue.put([(txn, tell)])

    def end(self) -> None:
        """Commit what is queued, and end the thread."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join(_END_S)

    def _hand_over(self) -> None:
        submitted, self._submitted = self._submitted, []
        if submitted:
            self._queue.put(submitted)

    def _run(self) -> None:
        while self._commit_next():
            pass

    def _commit_next(self) -> bool:
        """Wait for transactions and commit them; return false once no more will come.

        While the thread waits, it holds no group: an exception among the outcomes refers to a view
        of the store, with files that compaction may have removed.
        """
        first = self._queue.get()
        if first is None:
            return False
        group = list(first)
        is_last = False
        with contextlib.suppress(Empty):
            while not is_last:
                more = self._queue.get_nowait()
                is_last = more is None
                group += more or ()
        self._commit(group)
        return not is_last

    def _commit(self, group: Sequence[_Submitted]) -> None:
        resolved = []
        for (_, waits), outcome in zip(group, self._outcomes(group), strict=True):
            if isinstance(waits, asyncio.Future):
                resolved.append((waits, outcome))
            else:
                waits(outcome)
        if resolved:
            with contextlib.suppress(RuntimeError):  # the loop has ended: no one waits
                self._loop.call_soon_threadsafe(_resolve, resolved)

    def _outcomes(self, group: Sequence[_Submitted]) -> Sequence[Outcome]:
        # No frame on the way keeps them in a variable: a traceback refers to all of these frames.
        try:
            return self._store.commit_group([txn for txn, _ in group])
        except Exception as ex:
            return [ex] * len(group)


def _resolve(resolved: Sequence[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in resolved:
        if not future.done():
            future.set_result(outcome)
