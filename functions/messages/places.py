"""Places for what holds a thread until a client has read its answer; threads wait for them in turn.

A thread that waits for a place cannot answer others meanwhile. So some threads may wait for long,
some more for a moment, in which a burst of quick answers ends, and no more than that. A thread that
could receive a body, but has none to receive, is spare: every other one may wait for long, too. Of
32 threads with 8 places, 4 stay free::

                              sending  waiting for long  for a moment  receiving
    while no body is received     8        4 + 8              8            0
    while 16 bodies are           8          4                0            16
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from rundlet_server.storage.forks import listen_for_forks

PATIENCE_S: Final = 3.0
"""How long a thread waits for a place: some answers of 64 MiB long, and less than clients wait."""
MOMENT_S: Final = 0.05
"""How long it waits if enough others wait for long."""


class Places:
    """So many places, which any thread may take and any other may release.

    Attributes:
        most: the number of places.
    """

    def __init__(
        self, most: int, patience_s: float = PATIENCE_S, spare: Callable[[], int] = lambda: 0
    ) -> None:
        """Make places.

        Args:
            most: the number of places.
            patience_s: how long a thread waits.
            spare: returns the number of threads that could do other work than to send, and do not.
        """
        self.most = most
        self._patience_s = patience_s
        self._spare = spare
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._free = self.most
        self._waiting: deque[threading.Event] = deque()
        self._patient = 0

    def after_fork(self) -> None:
        """Free all places in a forked child, which has none of the threads that hold them."""
        self._begin()

    def take(self) -> bool:
        """Take a place, and return whether there was one in time."""
        with self._lock:
            # A place is free only if no one waits: it is handed on under the same lock.
            if self._free:
                self._free -= 1
                return True
            is_patient = self._patient < (self.most + self._spare()) // 2
            if not is_patient and len(self._waiting) - self._patient >= self.most:
                return False
            self._patient += is_patient
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait(self._patience_s if is_patient else MOMENT_S)
        with self._lock:
            self._patient -= is_patient
            if not turn.is_set():
                self._waiting.remove(turn)
            return turn.is_set()

    def give_back(self) -> None:
        """Give a place back, to the thread that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
