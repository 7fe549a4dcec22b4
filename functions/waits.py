"""How requests wait, and where long work runs; a server with an event loop has its own ``Waits``.

Resources are written once, as if each request had a thread to itself. They wait and do long work
through ``Waits``. By default the calling thread waits or works. In an event loop, the same call
lets the loop serve other requests meanwhile. So no lock may be held during such a call: another
request of the same thread might wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from rundlet_server.storage.interface import Store, Txn
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.timeline import Changes

Result = TypeVar("Result")


_LOOK_EVERY_S: Final = 1.0
"""How often a request with a thread checks for a closed connection or a revoked token."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a request waits for: a commit that changes a key with a prefix.

    Attributes:
        prefix: of the key.
        since: a revision; only later commits count.
        is_over: whether to stop waiting; called about once a second.
    """

    prefix: str
    since: int
    is_over: Callable[[], bool]


class Waits(Protocol):
    """The calls in which a request may wait."""

    def commit(self, store: Store, txn: Txn) -> Commit:
        """Do as ``Store.commit`` does."""

    def next_changes(self, store: Store, watched: Watched, timeout_s: float) -> Changes | None:
        """Wait for changes, and return them without their values.

        An empty page means that there are no changes up to its ``next_since``: the time or the
        request is over. ``None`` means that the caller must check the store itself.
        """

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""

    def record(self, do: Callable[[], None]) -> None:
        """Call a function that writes to the audit trail, whose disk may be slow."""

    def work(self, do: Callable[[], Result]) -> Result:
        """Call a function that may compute, or read from a disk, for milliseconds or longer."""

    def work_once(self, name: Hashable, do: Callable[[], Result], /) -> Result:
        """Do as ``work`` does; concurrent calls with the same name share one result."""


class _InThread:
    """The request has a thread of its own."""

    def commit(self, store: Store, txn: Txn) -> Commit:
        return store.commit(txn)

    def next_changes(self, store: Store, watched: Watched, timeout_s: float) -> None:
        store.wait(watched.since, min(timeout_s, _LOOK_EVERY_S))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def record(self, do: Callable[[], None]) -> None:
        do()

    def work(self, do: Callable[[], Result]) -> Result:
        return do()

    def work_once(self, _name: Hashable, do: Callable[[], Result], /) -> Result:
        return do()


IN_THREAD: Final[Waits] = _InThread()
