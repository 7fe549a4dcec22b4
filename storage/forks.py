"""What a forked child does with the store, the files and the counters that it inherits.

A child has every object of its parent, but only the thread that forked: a lock that another thread
held stays locked for ever. Its descriptors are copies, and a kernel lock (``flock``) belongs to all
copies together: to unlock one releases the lock of the parent, and a copy that stays open keeps the
lock although the parent has died. So, before any other code of the child runs,

* files that were ever locked are closed in the child, without being unlocked (``files``);
* an open log store turns into one that refuses everything (``ProcessGuard``): the child opens the
  folder itself, as any other process does;
* counters begin again in files of the child's own (``counting``).

A lock is never taken through a descriptor that is also mapped, because a mapping keeps the lock as
an open copy does, and it cannot be unmapped while a thread looks at it.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol
from weakref import WeakSet

from rundlet_server.storage.errors import OpenedBeforeFork


class ForkListener(Protocol):
    """An object that must change in a forked child."""

    def after_fork(self) -> None:
        """Adapt to a forked child, which has one thread and runs no other code yet."""


class ProcessGuard:
    """Refuses what only the process that opened a store may do.

    Attributes:
        is_inherited: this process is a child of the one that made the object.
    """

    def __init__(self) -> None:
        self.is_inherited = False
        listen_for_forks(self)

    def require_own(self) -> None:
        """Raise ``OpenedBeforeFork`` in a child."""
        if self.is_inherited:
            raise OpenedBeforeFork

    def after_fork(self) -> None:
        """See ``ForkListener.after_fork``."""
        self.is_inherited = True


_LISTENERS: Final[WeakSet[ForkListener]] = WeakSet()
"""All of this process. A fork handler cannot be unregistered, so there is one for all of them."""


def listen_for_forks(listener: ForkListener) -> None:
    """Call ``listener.after_fork`` in every child that is forked while the listener exists."""
    _LISTENERS.add(listener)


def _after_fork() -> None:
    failures: list[Exception] = []
    for listener in list(_LISTENERS):
        try:
            listener.after_fork()
        except Exception as ex:
            failures.append(ex)
    if failures:  # Python reports it on stderr, and the child goes on
        raise ExceptionGroup("after a fork", failures)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
