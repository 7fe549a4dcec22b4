"""The operations of a lock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

from rundlet.calls.batches import txn
from rundlet.calls.call import Call, Pause
from rundlet.calls.changes import revision_of, wait_for
from rundlet.calls.values import Demand, get, set_value
from rundlet.errors import BadRequest, Conflict, LockLost, OutcomeUnknown, PreconditionFailed
from rundlet.model import Commit, Condition, Delete, Op, Touch

_AGAIN_S: Final = 0.02


class Lease:
    """Holds a key for a time, with a value that no other holder has.

    Each renewal is a commit, which changes the revision of the key. After a write with an unknown
    outcome, the holder recognizes its lock by the value, and the next write requires the revision
    that the key has then.

    Attributes:
        token: the revision of the key when the lock was acquired; 0 before that.
    """

    def __init__(self, key: str, ttl: float) -> None:
        """Make a lease that is not held yet.

        Raises:
            BadRequest: the time to live is not above 0.
        """
        if not ttl > 0:
            message = f"the ttl of a lock is more than 0 seconds, got {ttl}"
            raise BadRequest(message)
        self.key = key
        self.ttl = ttl
        self.token = 0
        self._owner = secrets.token_hex(16)
        self._revision = 0
        self._ends_s = 0.0

    @property
    def left_s(self) -> float:
        """Seconds for which the lock is certainly held; 0 or less if it may be lost."""
        return self._ends_s - time.monotonic()

    def acquire(self, timeout_s: float | None, answer_s: float) -> Call[bool]:
        """Wait until the lock is free, and acquire it; return whether it is held.

        Args:
            timeout_s: how long to wait; ``None`` for no limit.
            answer_s: the timeout of the client for one answer.
        """
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            seen = yield from self._try()
            if seen is None:
                return True
            left_s = self.ttl if ends_s is None else ends_s - time.monotonic()
            if left_s <= 0:
                return False
            if not seen:  # the lock was released, or the write to acquire it was not applied
                yield Pause(_AGAIN_S)
                continue
            try:
                yield from wait_for(self.key, revision=seen, timeout_s=left_s, answer_s=answer_s)
            except TimeoutError:
                continue

    def renew(self) -> Call[bool]:
        """Extend the lock by ``ttl`` from now; return whether it is still held."""
        while True:
            began_s = time.monotonic()
            try:
                commit = yield from txn([Touch(self.key, self.ttl)], conditions=[self._condition()])
            except (Conflict, OutcomeUnknown):
                if (yield from self._look()):
                    continue
                self._ends_s = 0.0
                return False
            self._revision = commit.revision
            self._ends_s = began_s + self.ttl
            return True

    def release(self) -> Call[bool]:
        """Release the lock; return whether it was held until now."""
        self._ends_s = 0.0
        while True:
            try:
                yield from txn([Delete(self.key)], conditions=[self._condition()])
            except Conflict:
                if not (yield from self._look()):
                    return False
            except OutcomeUnknown:
                if not (yield from self._look()):
                    return True
            else:
                return True

    def txn(self, then: Sequence[Op], conditions: Sequence[Condition]) -> Call[Commit]:
        """Do many writes, all or none, if the lock is still held."""
        while True:
            try:
                return (yield from txn(then, conditions=[*conditions, self._condition()]))
            except Conflict as ex:
                if all(failed.key != self.key for failed in ex.failed):
                    raise
                if not (yield from self._look()):
                    raise self.lost() from ex

    def withdraw(self) -> Call[None]:
        """Release the lock if an abandoned attempt to acquire it succeeded."""
        if (yield from self._look()):
            yield from self.release()

    def lost(self) -> LockLost:
        """Return the error for a lost lock."""
        return LockLost(f"the lock {self.key!r} was lost: it expired, or its key was written")

    def _try(self) -> Call[int | None]:
        """Try to acquire; return ``None``, or the revision of the other holder, or 0 for none."""
        began_s = time.monotonic()
        try:
            written = yield from set_value(
                self.key, self._owner, ttl=self.ttl, demand=Demand(if_absent=True)
            )
        except (PreconditionFailed, OutcomeUnknown):
            value = yield from get(self.key)
            if value is None or value.data != self._owner.encode():
                return revision_of(value)
            # An earlier write with an unknown outcome was applied.
            self.token = self._revision = value.revision
            return None if (yield from self.renew()) else 0
        self.token = self._revision = written.revision
        self._ends_s = began_s + self.ttl
        return None

    def _look(self) -> Call[bool]:
        """Read the current revision of the key; return whether the lock is held."""
        value = yield from get(self.key)
        if value is None or value.data != self._owner.encode():
            return False
        self._revision = value.revision
        return True

    def _condition(self) -> Condition:
        return Condition(self.key, revision=self._revision)
