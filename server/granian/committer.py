"""The thread that commits for all requests of a worker's event loop.

It commits all queued transactions as one group; transactions that arrive meanwhile form the next
group. So groups are larger on slower disks, and no request needs a thread for its commit.
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
Report = Callable[[Outcome], None]
"""Receives the outcome, in the thread that commits; it must not raise."""
CommitFor = Callable[[Txn, Report], bool]
"""Queues a transaction and returns true, or returns false; any thread may call it."""

_Submitted = tuple[Txn, "Report | asyncio.Future[Outcome]"]

_END_S: Final = 10.0


class Committer:
    """The queue, and its thread."""

    def __init__(
        self,
        store: CommitsGroups,
        loop: asyncio.AbstractEventLoop,
        after_group: Callable[[], object] = bool,
    ) -> None:
        """Commit transactions to a store.

        Args:
            store: the store.
            loop: resolves the futures that ``submit`` returns.
            after_group: called in the thread once it has reported the outcomes of a group.
        """
        self._store = store
        self._loop = loop
        self._after_group = after_group
        self._submitted: list[_Submitted] = []
        self._queue: SimpleQueue[Sequence[_Submitted] | None] = SimpleQueue()
        self._is_last = False
        self._thread = threading.Thread(target=self._run, name="rundlet-commit", daemon=True)
        self._thread.start()

    def submit(self, txn: Txn) -> asyncio.Future[Outcome]:
        """Queue a transaction; call it in the loop.

        The thread gets all transactions of one turn of the loop at once. If the first of them woke
        the thread, it would compete with the loop for the interpreter, and commit smaller groups.

        Returns:
            A future for the commit, or for the exception that ``Store.commit`` would raise.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._submitted:
            self._loop.call_soon(self._hand_over)
        self._submitted.append((txn, future))
        return future

    def commit_for(self, txn: Txn, report: Report) -> None:
        """Queue a transaction; the committing thread calls ``report``. Any thread may call this."""
        self._queue.put([(txn, report)])

    def end(self) -> None:
        """Commit the queued transactions, and end the thread."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join(_END_S)

    def _hand_over(self) -> None:
        submitted, self._submitted = self._submitted, []
        if submitted:
            self._queue.put(submitted)

    def _run(self) -> None:
        while not self._is_last:
            self._commit_next()

    def _commit_next(self) -> None:
        """Wait for transactions and commit them.

        The traceback of an exception among the outcomes refers to this frame and the frames below,
        and to a view of the store, whose files compaction may have removed. So no frame here keeps
        outcomes, or futures of them, in a variable: that would be a cycle, which only the garbage
        collector frees.
        """
        group = self._next_group()
        self._report(group, self._outcomes(group))

    def _next_group(self) -> list[_Submitted]:
        """Wait for transactions; return all that are queued."""
        more = self._queue.get()
        group: list[_Submitted] = []
        with contextlib.suppress(Empty):
            while more is not None:
                group += more
                more = self._queue.get_nowait()
            self._is_last = True
        return group

    def _report(self, group: list[_Submitted], outcomes: Sequence[Outcome]) -> None:
        resolved = []
        for (_, receiver), outcome in zip(group, outcomes, strict=True):
            if isinstance(receiver, asyncio.Future):
                resolved.append((receiver, outcome))
            else:
                receiver(outcome)
        group.clear()
        self._after_group()
        if resolved:
            with contextlib.suppress(RuntimeError):  # the loop has ended: no one waits
                self._loop.call_soon_threadsafe(_resolve, resolved)

    def _outcomes(self, group: Sequence[_Submitted]) -> Sequence[Outcome]:
        try:
            return self._store.commit_group([txn for txn, _ in group])
        except Exception as ex:
            return [ex] * len(group)


def _resolve(resolved: Sequence[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in resolved:
        if not future.done():
            future.set_result(outcome)
