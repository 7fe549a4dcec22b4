"""The thread of an open store: it wakes waiting requests, expires, compacts, renews holds.

The keeper asks the database for the head only while a request waits: portable SQL has no
notifications. A commit of the same process wakes waiting requests at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from rundlet_server.storage.errors import StoreError

_log: Final = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 0.015
"""How often the head is read while a request waits: a commit is noticed within 20 ms."""
TEND_EVERY_S: Final = 1.0
"""How often expired values are looked for: an expiry is an event within 2 s."""


class Keeper:
    """Waits for commits, and tends the store. Any thread may wait."""

    def __init__(self, find_head: Callable[[], int], tend: Callable[[], None] | None) -> None:
        """Begin.

        Args:
            find_head: returns the head revision.
            tend: called every ``TEND_EVERY_S``; ``None`` if this process does not tend the store.
        """
        self._find_head = find_head
        self._tend = tend
        self._head = 0
        self._waiting = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        if tend is not None:
            self._start()

    def note(self, head: int) -> None:
        """Note the head after a commit of this process."""
        with self._changed:
            if head > self._head:
                self._head = head
                self._changed.notify_all()

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        head = self._find_head()
        if head > since or timeout_s <= 0:
            return head
        with self._changed:
            self._waiting += 1
            try:
                self._start()
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._head > since or self._is_closed, timeout_s)
            finally:
                self._waiting -= 1
            return max(self._head, head)

    def close(self) -> None:
        """End the thread, and all waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rundlet-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        tended_s = time.monotonic()
        while True:
            with self._changed:
                pause_s = LOOK_EVERY_S if self._waiting else TEND_EVERY_S
                if self._tend is None and not self._waiting:
                    self._changed.wait_for(lambda: self._waiting or self._is_closed)
                elif not self._is_closed:
                    self._changed.wait(pause_s)
                if self._is_closed:
                    return
                is_waited_for = self._waiting > 0
            tend = None
            if time.monotonic() - tended_s >= TEND_EVERY_S:
                tended_s = time.monotonic()
                tend = self._tend
            self._work(tend, is_waited_for=is_waited_for)

    def _work(self, tend: Callable[[], None] | None, *, is_waited_for: bool) -> None:
        """Read the head, and tend the store; what fails is tried again."""
        try:
            if is_waited_for:
                self.note(self._find_head())
            if tend is not None:
                tend()
        except StoreError:
            pass  # ``Store.health`` reports it
        except Exception:
            _log.exception("the keeper of the store failed; it goes on")
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, TEND_EVERY_S)
