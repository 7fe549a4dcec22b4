"""Holds that a store keeps outside the process: as a row of a database, or as a key of etcd."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Name = TypeVar("Name")


class RemoteHold(Generic[Name]):
    """One hold, see ``Store.hold``; a context manager.

    The garbage collector may free a read that was not closed, at any moment and in any thread: also
    in one that has just locked the connections of the store. So a hold that is freed without an
    exit is not ended there. It is only noted, and the thread that tends the store ends it.
    """

    def __init__(
        self,
        take: Callable[[], Name | None],
        release: Callable[[Name], None],
        abandoned: deque[Name],
    ) -> None:
        """Make a hold that is not taken yet.

        Args:
            take: takes a hold and returns its name; ``None`` if there is none.
            release: ends the hold with a name.
            abandoned: gets the names of holds that are freed without an exit.
        """
        self._take = take
        self._release = release
        self._abandoned = abandoned
        self._name: Name | None = None

    def __enter__(self) -> None:
        self._name = self._take()

    def __exit__(self, *_: object) -> None:
        name, self._name = self._name, None
        if name is not None:
            self._release(name)

    def __del__(self) -> None:
        if self._name is not None:
            self._abandoned.append(self._name)


def release_all(abandoned: deque[Name], release: Callable[[Name], None]) -> None:
    """End the holds that were freed without an exit."""
    while abandoned:
        release(abandoned.popleft())
