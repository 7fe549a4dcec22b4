"""A job that is asked for now and done in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Does one thing in a thread of its own, at most one more time than it was asked for.

    It is told what to do each time: were it to hold a method of its owner's, the two would keep
    each other, and every file the owner has open, until a full garbage collection.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_wanted = False

    def request(self, action: Callable[[], None]) -> None:
        """Have it done, once more where it is under way already; returns at once."""
        with self._lock:
            self._is_wanted = True
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(action,), name=self._name, daemon=True
                )
                self._thread.start()

    def join(self) -> None:
        """Return when nothing is under way any more."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self, action: Callable[[], None]) -> None:
        while True:
            with self._lock:
                if not self._is_wanted:
                    self._thread = None
                    return
                self._is_wanted = False
            action()
