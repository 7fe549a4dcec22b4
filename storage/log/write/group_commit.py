"""Group commit: the threads of one process share writes and syncs.

A thread queues its transaction. If no thread leads, it becomes the leader: it commits all that are
queued, its own among them, as one batch. Transactions that come meanwhile form the next group, led
by the first of them. So a group is as large as the disk is slow, without any timer.
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


@dataclass(slots=True)
class _Request:
    """A queued transaction.

    Attributes:
        wakeup: held while the request waits; released when it is done or is to lead.
    """

    txn: Txn
    wakeup: threading.Lock = field(default_factory=threading.Lock)
    commit: Commit | None = None
    error: Exception | None = None


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
        request = _Request(txn)
        self._finish([request])
        if request.error is not None:
            try:
                raise request.error
            finally:
                # Its traceback refers to this frame, which refers to the request: a view with files
                # that compaction has removed would stay in that circle until the garbage collector
                # runs.
                request.error = None
        assert request.commit is not None
        return request.commit

    def commit_group(self, txns: Sequence[Txn]) -> list[Commit | Exception]:
        """Commit transactions of many callers; return once all are published.

        Returns:
            For each its commit, or what ``commit`` would raise.
        """
        requests = [_Request(txn) for txn in txns]
        for request in requests[1:]:
            request.wakeup.acquire()  # the leader releases it
        if requests:
            self._finish(requests)
        # Not kept in a variable: the traceback of an exception refers to this frame, too.
        return [_outcome_of(request) for request in requests]

    def _finish(self, requests: Sequence[_Request]) -> None:
        """Queue requests of one thread, and return when all are done; lead if no thread does.

        A leader takes all that are queued, so the requests of one call are done together.
        """
        first = requests[0]
        with self._queue_lock:
            self._queue += requests
            is_waiting = self._has_leader
            self._has_leader = True
            if is_waiting:
                first.wakeup.acquire()
        if is_waiting:
            first.wakeup.acquire()  # until done, or until it is this thread's turn to lead
        if first.commit is None and first.error is None:
            self._lead()

    def _lead(self) -> None:
        """Commit all that are queued, then hand over to the first that came meanwhile."""
        group: list[_Request] = []
        try:
            with self._writer.exclusive() as view:
                # Only now: while other processes have their turns, the group grows.
                group = self._take_queue()
                self._commit_group(view, group)
        except BaseException as ex:
            group = group or self._take_queue()
            _refuse(group, ex)
            if not isinstance(ex, Exception):
                raise
        finally:
            with self._queue_lock:
                self._has_leader = bool(self._queue)
                if self._queue:
                    self._queue[0].wakeup.release()
            for request in group[1:]:
                request.wakeup.release()

    def _take_queue(self) -> list[_Request]:
        """Take all that are queued, the leader's own request first."""
        with self._queue_lock:
            group, self._queue = self._queue, []
        return group

    def _commit_group(self, view: View, group: Sequence[_Request]) -> None:
        batch = self._decided(view, group)
        self._writer.write(view, batch)
        if batch.commit_count:  # some may have had nothing to write
            self._measures.committed(batch.commit_count)

    def _decided(self, view: View, group: Sequence[_Request]) -> Batch:
        """Return a batch of all transactions of a group but those that fail.

        A transaction that fails in a way that is not foreseen may leave a part of itself in the
        batch. The others must not pay for that: they are decided anew, without it.
        """
        left = list(group)
        while True:
            batch = self._writer.begin(view)
            failed = next((request for request in left if not _add(batch, request)), None)
            if failed is None:
                return batch
            left.remove(failed)


def _outcome_of(request: _Request) -> Commit | Exception:
    """Take the outcome out of a request that is done."""
    outcome = request.error or request.commit
    assert outcome is not None
    request.error = None  # as in ``commit``: its traceback refers to the request
    return outcome


def _add(batch: Batch, request: _Request) -> bool:
    """Decide a transaction; return false if it failed in a way that is not foreseen."""
    request.commit, request.error = None, None
    try:
        request.commit = batch.add(request.txn)
    except StoreError as ex:
        request.error = ex
    except OSError as ex:
        reason = ex.strerror or ex
        request.error = Unavailable(
            f"the disk failed while a value was read ({reason}); the write was not applied"
        )
        request.error.__cause__ = ex
        return False
    except Exception as ex:
        request.error = ex
        return False
    return True


def _refuse(group: Sequence[_Request], cause: BaseException) -> None:
    """Fail all requests of a group."""
    error = cause if isinstance(cause, Exception) else OutcomeUnknown("interrupted")
    for request in group:
        # A refusal that was decided against writes of this group is void, too: they did not happen.
        request.commit, request.error = None, error
