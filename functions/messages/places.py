"""Places bound the answers that are made while clients read them, such as exports.

If each request has a thread, a request that waits for a place keeps its thread from other requests.
So half as many requests as places may wait for seconds, as many as places for a moment, in which a
burst of quick answers ends, and further requests are refused. They get places in turn.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.forks import listen_for_forks

PATIENCE_S: Final = 3.0
"""How long a request waits for a place: shorter than the timeouts of clients."""
MOMENT_S: Final = 0.05
"""How long it waits if enough others already wait for ``PATIENCE_S``."""
_LOOK_EVERY_S: Final = 0.005


class Places:
    """A fixed number of places, which any request may take and any other may release.

    Attributes:
        most: the number of places.
    """

    def __init__(
        self, most: int, waits: Waits = IN_THREAD, *, patience_s: float = PATIENCE_S
    ) -> None:
        """Make ``most`` places; half as many requests may wait up to ``patience_s`` for one."""
        self.most = most
        self._waits = waits
        self._patience_s = patience_s
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._free = deque([None] * self.most)
        self._waiting: deque[_Turn] = deque()
        self._patient = 0

    def after_fork(self) -> None:
        """Free all places in a forked child, which has none of the requests that hold them."""
        self._begin()

    def take(self) -> bool:
        """Take a place, and return whether there was one in time."""
        turn = _Turn()
        with self._lock:
            self._waiting.append(turn)
            self._hand_on()
            if turn.has_come:
                return True
            is_patient = self._patient < (self.most + 1) // 2
            if not is_patient and len(self._waiting) - self._patient > self.most:
                self._waiting.remove(turn)
                return False
            self._patient += is_patient
        ends_s = time.monotonic() + (self._patience_s if is_patient else MOMENT_S)
        while not turn.has_come and time.monotonic() < ends_s:
            self._waits.sleep(_LOOK_EVERY_S)
            with self._lock:
                self._hand_on()
        with self._lock:
            self._patient -= is_patient
            if not turn.has_come:
                self._waiting.remove(turn)
            return turn.has_come

    def _hand_on(self) -> None:
        """Give the free places to the requests that have waited longest; call with the lock."""
        while self._waiting and self._free:
            self._free.pop()
            self._waiting.popleft().has_come = True

    def give_back(self) -> None:
        """Release a place; the request that has waited longest takes it.

        It takes no lock, because the garbage collector may call it in a thread that holds one.
        """
        self._free.append(None)


class TakenPlace:
    """A taken place; ``give_back`` releases it, or the garbage collector does."""

    def __init__(self, release: Callable[[], None]) -> None:
        """``release`` is called once; it takes no lock."""
        self._release: Callable[[], None] | None = release

    def give_back(self) -> None:
        """Release the place; a second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __del__(self) -> None:
        self.give_back()  # a server that never began to send an answer need not close it


class _Turn:
    """The turn of one request that waits."""

    def __init__(self) -> None:
        self.has_come = False
