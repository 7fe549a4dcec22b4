"""How requests wait, and where long work is done: a server with an event loop has its own way.

Resources are written once, as if each request had a thread to itself. What takes long goes through
``Waits``: by default the calling thread waits or works. In an event loop the same call lets the
loop go on with other requests meanwhile. So no lock may be held during such a call: another request
of the same thread might want it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from rundlet_server.storage.interface import Store, Txn
from rundlet_server.storage.outcomes.results import Commit

Result = TypeVar("Result")


class Waits(Protocol):
    """What a request may wait for."""

    def commit(self, store: Store, txn: Txn) -> Commit:
        """Do as ``Store.commit`` does."""

    def until_commit(self, store: Store, since: int, timeout_s: float) -> int:
        """Do as ``Store.wait`` does."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def work(self, do: Callable[[], Result]) -> Result:
        """Call a function that may compute, or read from a disk, for milliseconds or longer."""


class _InThread:
    """The request has a thread of its own."""

    def commit(self, store: Store, txn: Txn) -> Commit:
        return store.commit(txn)

    def until_commit(self, store: Store, since: int, timeout_s: float) -> int:
        return store.wait(since, timeout_s)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def work(self, do: Callable[[], Result]) -> Result:
        return do()


IN_THREAD: Final[Waits] = _InThread()
