"""Group commit: the threads of one process share writes and syncs.

If no thread leads, a thread with a transaction becomes the leader; otherwise it queues the
transaction. The leader commits its own transaction and all that are queued as one batch.
Transactions that arrive meanwhile form the next group, and the thread of the first leads it. So the
slower the disk, the larger the groups; no timer is involved.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.errors import OutcomeUnknown, StoreError, Unavailable
from rundlet_server.storage.interface import Txn
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.batch import Batch
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.outcomes.results import Commit

Outcome = Commit | Exception


@dataclass(slots=True)
class _Request:
    """Transactions that a thread has queued.

    Attributes:
        wakeup: held while the request waits; released when it is done or is to lead.
        outcomes: of each transaction its commit, or why it failed; empty until all are done.
        spoilers: unexpected failures, by the place of the transaction in ``txns``.
    """

    txns: Sequence[Txn]
    wakeup: threading.Lock = field(default_factory=threading.Lock)
    outcomes: list[Outcome] = field(default_factory=list)
    spoilers: dict[int, Exception] = field(default_factory=dict)

    def take(self) -> list[Outcome]:
        """Take the outcomes out of the request, once it is done.

        The traceback of an exception refers to every frame that the exception passed, and these
        refer to the request and its lists. If the request kept the exception, this reference cycle
        would keep a view, and files that compaction has removed, until the garbage collector runs.
        """
        taken = self.outcomes[:]
        self.outcomes.clear()
        self.spoilers.clear()
        return taken


class GroupCommit:
    """The queue of one process in front of its ``Writer``."""

    def __init__(self, writer: Writer, measures: Measures) -> None:
        self._writer = writer
        self._measures = measures
        self._queue: list[_Request] = []
        self._queue_lock = threading.Lock()
        self._has_leader = False

    def commit(self, txn: Txn) -> Commit:
        """Commit a transaction; return once it is published.

        Raises:
            Conflict, InvalidOperation: decided against the head; nothing was changed.
            Unavailable, DiskFull: certainly not applied; others of the group may be.
            OutcomeUnknown: it may have been applied.
            Damaged: the log cannot be followed.
        """
        outcome = self._finish([txn]).pop()
        if isinstance(outcome, Commit):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # its traceback refers to this frame: a cycle, see ``_Request.take``

    def commit_group(self, txns: Sequence[Txn]) -> list[Outcome]:
        """Commit transactions of many callers; return once all are published.

        Returns:
            For each transaction its commit, or the error that ``commit`` would raise.
        """
        return self._finish(txns) if txns else []  # not kept in a variable, as in ``commit``

    def _finish(self, txns: Sequence[Txn]) -> list[Outcome]:
        """Return the outcomes of transactions; lead if no thread does, otherwise queue them."""
        with self._queue_lock:
            is_leader = not self._has_leader
            self._has_leader = True
            if not is_leader:
                request = _Request(txns)
                request.wakeup.acquire()
                self._queue.append(request)
        if is_leader:
            return self._lead(txns)
        request.wakeup.acquire()  # until done, or until it is this thread's turn to lead
        return request.take() or self._lead(txns)

    def _lead(self, txns: Sequence[Txn]) -> list[Outcome]:
        """Commit transactions and all queued ones; hand the lead to the first queued meanwhile.

        Returns:
            The outcomes of ``txns``.
        """
        group: list[_Request] = []
        has_lock = False
        try:
            with self._writer.exclusive() as view:
                has_lock = True
                # The queue is taken only now: the group grows while other processes hold the lock.
                if not self._queue and len(txns) == 1:
                    commit = self._commit_alone(view, txns[0])
                    if commit is not None:
                        return [commit]
                group = self._take_queue(txns)
                self._commit_group(view, group)
        except BaseException as ex:
            if not group:  # what was queued during the write of one transaction is not refused
                group = [_Request(txns)] if has_lock else self._take_queue(txns)
            _refuse(group, ex)
            if not isinstance(ex, Exception):
                raise
        finally:
            with self._queue_lock:
                self._has_leader = bool(self._queue)
                if self._queue:
                    self._queue.pop(0).wakeup.release()
            for request in group[1:]:
                request.wakeup.release()
        return group[0].take()

    def _take_queue(self, txns: Sequence[Txn]) -> list[_Request]:
        """Return a request for the leader's own transactions, and after it all queued ones."""
        with self._queue_lock:
            group, self._queue = [_Request(txns), *self._queue], []
        return group

    def _commit_alone(self, view: View, txn: Txn) -> Commit | None:
        """Commit one transaction of plain puts without a batch; return ``None`` for any other."""
        plain = self._writer.plain_frame(view, txn)
        if plain is None:
            return None
        frame, commit = plain
        self._writer.write(view, frame)
        self._measures.committed(1)
        return commit

    def _commit_group(self, view: View, group: Sequence[_Request]) -> None:
        batch = self._decided(view, group)
        self._writer.write(view, batch.frames)
        if batch.commit_count:  # some may have had nothing to write
            self._measures.committed(batch.commit_count)

    def _decided(self, view: View, group: Sequence[_Request]) -> Batch:
        """Return a batch of all transactions of a group except the ones that fail.

        A transaction that fails unexpectedly may leave some of its writes in the batch. So the
        others are decided again, in a new batch without it.
        """
        while True:
            batch = self._writer.begin(view)
            for request in group:
                if not _decide(batch, request):
                    break
            else:
                return batch


def _decide(batch: Batch, request: _Request) -> bool:
    """Decide transactions; return false as soon as one fails unexpectedly."""
    txns = request.txns
    outcomes = request.outcomes = []
    while len(outcomes) < len(txns):
        place = len(outcomes)
        if place in request.spoilers:
            outcomes.append(request.spoilers[place])
            continue
        try:
            plain = batch.add_plain(txns, place)
            if plain:
                outcomes += plain
            else:
                outcomes.append(batch.add(txns[place]))
        except StoreError as ex:
            outcomes.append(ex)
        except Exception as ex:
            request.spoilers[place] = _unavailable(ex) if isinstance(ex, OSError) else ex
            return False
    return True


def _unavailable(cause: OSError) -> Unavailable:
    """Return the error for a transaction that needs a value which the disk fails to read."""
    error = Unavailable(
        f"the disk failed while a value was read ({cause.strerror or cause});"
        " the write was not applied"
    )
    error.__cause__ = cause
    return error


def _refuse(group: Sequence[_Request], cause: BaseException) -> None:
    """Fail all requests of a group."""
    error = cause if isinstance(cause, Exception) else OutcomeUnknown("interrupted")
    for request in group:
        # This replaces refusals, too: they were decided against writes that did not happen.
        request.outcomes = [error] * len(request.txns)
