"""How requests wait, and where long work is done: a server with an event loop has its own way.

Resources are written once, as if each request had a thread to itself. What takes long goes through
``Waits``: by default the calling thread waits or works. In an event loop the same call lets the
loop go on with other requests meanwhile. So no lock may be held during such a call: another request
of the same thread might want it.
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
"""So soon a request with a thread notices a client that has left, and a token that was revoked."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a request waits for: a commit that changes a key with a prefix.

    Attributes:
        prefix: of the key.
        since: a revision; the commit is above it.
        is_over: whether there is no reason to wait on; asked about once a second.
    """

    prefix: str
    since: int
    is_over: Callable[[], bool]


class Waits(Protocol):
    """What a request may wait for."""

    def commit(self, store: Store, txn: Txn) -> Commit:
        """Do as ``Store.commit`` does."""

    def next_changes(self, store: Store, watched: Watched, timeout_s: float) -> Changes | None:
        """Wait for changes, and return them without their values.

        An empty page means that there is none up to its ``next_since``: the time is over, or the
        request. ``None`` means that the request has to look for itself.
        """

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def work(self, do: Callable[[], Result]) -> Result:
        """Call a function that may compute, or read from a disk, for milliseconds or longer."""

    def work_once(self, name: Hashable, do: Callable[[], Result], /) -> Result:
        """Do as ``work`` does; requests that ask for the same name at once share one result."""


class _InThread:
    """The request has a thread of its own."""

    def commit(self, store: Store, txn: Txn) -> Commit:
        return store.commit(txn)

    def next_changes(self, store: Store, watched: Watched, timeout_s: float) -> None:
        store.wait(watched.since, min(timeout_s, _LOOK_EVERY_S))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def work(self, do: Callable[[], Result]) -> Result:
        return do()

    def work_once(self, _name: Hashable, do: Callable[[], Result], /) -> Result:
        return do()


IN_THREAD: Final[Waits] = _InThread()
