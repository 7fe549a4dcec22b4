"""``rundlet`` with watched locks: ``python -m tests.support.watched_locks serve ...``.

Each Granian worker says on stderr which lock a request holds when it calls ``Waits``, where it took
the lock and where it waits; and once for each way in which a greenlet of the event loop has waited.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from greenlet import getcurrent

from rundlet_server.cli.start import main
from rundlet_server.functions.app import get_service
from rundlet_server.functions.serving import Service
from rundlet_server.functions.waits import Waits
from rundlet_server.server import run
from rundlet_server.server.granian import waiting
from tests.support import ROOT

HELD: Final = "a lock is held during a wait: "
WAITED: Final = "a greenlet has waited: "
WAYS: Final = ("commit", "next_changes", "sleep", "work", "work_once", "wait_for")
"""The methods of ``LoopWaits`` in which a greenlet switches to the loop."""

_SKIPPED: Final = (__file__, threading.__file__)
_new_lock: Final = threading.Lock
_new_rlock: Final = threading.RLock


class _Taken:
    """One taking of a lock: by which stack, a greenlet's or a thread's, and where."""

    def __init__(self) -> None:
        self.stack = getcurrent()
        self.place = _place()


_taken: dict[int, _Taken] = {}
"""What is held now, by identity; one step each to add, remove and list, so it needs no lock."""


class WatchedLock:
    """A lock that knows where it was taken."""

    def __init__(self, lock: threading.Lock | threading.RLock) -> None:
        self._lock = lock
        self._takings: list[_Taken] = []  # several, if it is reentrant

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        is_taken = self._lock.acquire(blocking, timeout)
        if is_taken:
            taking = _Taken()
            self._takings.append(taking)
            _taken[id(taking)] = taking
        return is_taken

    def release(self) -> None:
        del _taken[id(self._takings.pop())]
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> object:
        return getattr(self._lock, name)  # what threading.Condition and forks need


def watch() -> None:
    """Watch all locks that are made from now on."""
    threading.Lock = lambda: WatchedLock(_new_lock())  # type: ignore[assignment,misc]
    threading.RLock = lambda: WatchedLock(_new_rlock())  # type: ignore[assignment,misc]
    seen: set[str] = set()
    for name in WAYS:
        method = getattr(waiting.LoopWaits, name)
        setattr(waiting.LoopWaits, name, _watched(name, method, seen))


def make_service(waits: Waits) -> Service:
    """Return the service of a worker, over a store and an application whose locks are watched."""
    watch()
    return get_service(waits)


def _watched(name: str, method: Callable[..., object], seen: set[str]) -> Callable[..., object]:
    def call(*arguments: object) -> object:
        stack = getcurrent()
        for taking in list(_taken.values()):
            if taking.stack is stack:
                _say(f"{HELD}taken in {taking.place}, waiting in {_place()}")
        if isinstance(stack, waiting._Request) and name not in seen:
            seen.add(name)
            _say(WAITED + name)
        return method(*arguments)

    return call


def _place() -> str:
    """Return where the code that is being watched is now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if frame.f_code.co_filename not in _SKIPPED:
            name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            return f"{name}:{frame.f_lineno} ({frame.f_code.co_name})"
        frame = frame.f_back
    return "the start of a thread"


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())


if __name__ == "__main__":
    run.get_service = make_service
    main()
