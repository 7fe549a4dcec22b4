"""``Lock``: mutual exclusion between processes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, Self

from rundlet.calls.locks import Lease
from rundlet.errors import LockLost, RundletError
from rundlet.model import Commit, Condition, Op
from rundlet.sending.running import run
from rundlet.sending.transport import Transport

RENEWALS: Final = 3
"""How often a lock is renewed in each ``ttl``: two renewals may fail."""


class Lock:
    """A lock that many processes and machines share; use it as a context manager.

    While the lock is held, a thread renews it. If the holder stops for longer than ``ttl``, or
    cannot reach the server for so long, the lock is lost, and another process may acquire it: no
    lock over a network can prevent that. So if the holder writes to another system, it should send
    the ``token``, and that system should refuse a token that is less than one it has seen. For
    writes to the same store, use ``txn``.

    The lock is not reentrant, and not fair: any waiting process may be next. Only one thread may
    use a ``Lock``.

    Attributes:
        name: the key that is the lock; its value names the holder.
    """

    def __init__(self, transport: Transport, name: str, *, ttl: float, renew: bool) -> None:
        """See ``Client.lock``."""
        self.name = name
        self._transport = transport
        self._lease = Lease(name, ttl)
        self._renews = renew
        self._mutex = threading.Lock()  # held while a request changes the revision of the key
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

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

    def acquire(self, *, timeout_s: float | None = None) -> bool:
        """Wait for the lock; return false if it was not free within ``timeout_s`` seconds.

        Raises:
            RuntimeError: this object already holds the lock.
        """
        if self.is_held:
            raise RuntimeError("this lock is held; it is not reentrant")
        answer_s = self._transport.origin.timeout_s
        if not run(self._lease.acquire(timeout_s, answer_s), self._transport.send):
            return False
        if self._renews:
            self._ended = threading.Event()
            self._thread = threading.Thread(
                target=self._renew, args=(self._ended,), name=f"renew {self.name}", daemon=True
            )
            self._thread.start()
        return True

    def release(self) -> None:
        """Release the lock.

        Raises:
            LockLost: the lock was lost before.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not run(self._lease.release(), self._transport.send):
            raise self._lease.lost()

    def txn(self, then: Sequence[Op], *, conditions: Sequence[Condition] = ()) -> Commit:
        """Do as ``Client.txn`` does, if the lock is still held at the moment of the commit.

        Raises:
            LockLost: the lock is not held; nothing was changed.
        """
        with self._mutex:
            return run(self._lease.txn(then, conditions), self._transport.send)

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self._lease.ttl / RENEWALS) and self.is_held:
            with self._mutex:
                try:
                    run(self._lease.renew(), self._transport.send)
                except RundletError:
                    continue  # try again until the lock expires
                except RuntimeError:
                    return  # the client is closed

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.release()
        except LockLost:
            if kind is None:
                raise
