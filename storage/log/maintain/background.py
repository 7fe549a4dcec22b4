"""A job that is requested now and done in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger("rundlet.store")


class Background:
    """Does one job in a thread of its own; requests during a run lead to one more run.

    The request brings the action. If this object kept a method of its owner, the two would refer to
    each other, and every file that the owner has open would stay open until a full garbage
    collection.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_wanted = False

    def request(self, action: Callable[[], None]) -> None:
        """Request the job, once more if it is running already; return at once."""
        with self._lock:
            self._is_wanted = True
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, args=(action,), name=self._name, daemon=True
                )
                thread.start()
                self._thread = thread

    def join(self) -> None:
        """Wait until the job no longer runs."""
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
            try:
                action()
            except Exception:  # later requests need this thread
                _log.exception("%s failed unexpectedly", self._name)
