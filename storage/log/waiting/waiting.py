"""The reader's side of waiting: one thread sleeps for all threads of a process that wait."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from rundlet_server.storage.log.format.commit_page import WORD_PUBLISHED, CommitPage
from rundlet_server.storage.log.waiting.fifo import WaitersFolder, WakeupFifo

_log: Final = logging.getLogger("rundlet.store")

THREAD_NAME: Final = "rundlet-waiting"

_LOOK_EVERY_S: Final = 1.0
"""How often the sleeping thread looks without a byte: a writer may die between commit and byte."""
_POLL_EVERY_S: Final = 0.01
"""How often the thread looks if no FIFO can be made."""
_LINGER_S: Final = 5.0
"""How long after the last wait the thread ends; most waiters wait again soon."""


class Waiting:
    """Waits for commits, for one process. Any thread may wait."""

    def __init__(
        self, folder: WaitersFolder, commit_page: CommitPage, head: Callable[[], int]
    ) -> None:
        """Begin without a thread.

        Args:
            folder: of the FIFOs.
            commit_page: of the store.
            head: returns the revision of the last commit that is published.
        """
        self._folder = folder
        self._words = commit_page.words
        self._head = head
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._fifo: WakeupFifo | None = None
        self._count = 0
        self._ticks = 0
        self._is_closed = False

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        ends_s = time.monotonic() + timeout_s
        head = self._head()
        if head > since or timeout_s <= 0:
            return head
        with self._sleeping_thread():
            while True:
                ticks = self._ticks  # before the look: a later commit changes it
                head = self._head()
                left_s = ends_s - time.monotonic()
                if head > since or left_s <= 0 or self._is_closed:
                    return head
                self._await_change(ticks, left_s)

    def open_fifo(self) -> WakeupFifo:
        """Return a FIFO for an event loop; its descriptor is readable after every commit.

        The loop should also look once a second, because a byte may be lost, and close the FIFO in
        the end.

        Raises:
            OSError: no FIFO can be made here.
        """
        return self._folder.open()

    def close(self) -> None:
        """End all waits, and the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
            if self._fifo is not None:
                self._fifo.ring()
        if thread is not None:
            thread.join()

    def _await_change(self, ticks: int, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ticks != ticks or self._is_closed, timeout_s)

    @contextlib.contextmanager
    def _sleeping_thread(self) -> Iterator[None]:
        """Keep the thread that sleeps on the FIFO running."""
        with self._changed:
            self._count += 1
            if self._thread is None and not self._is_closed:
                published = self._words[WORD_PUBLISHED]
                self._thread = threading.Thread(
                    target=self._run, args=(published,), name=THREAD_NAME, daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1

    def _run(self, published: int) -> None:
        """Sleep, and begin again after an unexpected error: the threads that wait need it."""
        while True:
            try:
                return self._sleep(published)
            except Exception:
                _log.exception("the thread that waits for commits failed unexpectedly")
            self._note(None)
            published = 0  # so all threads look
            time.sleep(_LOOK_EVERY_S)

    def _sleep(self, published: int) -> None:
        """Sleep until there is something new, and wake the threads that wait.

        Args:
            published: the position that the waiting threads have seen.
        """
        used_s = looked_s = time.monotonic()
        fifo = self._opened(None)
        try:
            while True:
                now_s = time.monotonic()
                with self._changed:
                    found = self._words[WORD_PUBLISHED]
                    if found != published:
                        published = found
                        self._ticks += 1
                        self._changed.notify_all()
                    used_s = now_s if self._count else used_s
                    if self._is_closed or now_s - used_s > _LINGER_S:
                        self._thread = self._fifo = None
                        return
                if now_s - looked_s >= _LOOK_EVERY_S:
                    looked_s = now_s
                    fifo = self._opened(fifo)
                if fifo is None:
                    time.sleep(_POLL_EVERY_S)
                else:
                    fifo.wait(_LOOK_EVERY_S)
        finally:
            if fifo is not None:
                fifo.close()

    def _opened(self, fifo: WakeupFifo | None) -> WakeupFifo | None:
        """Return a FIFO that writers find: the present one, or else a new one if it can be made."""
        if fifo is not None and fifo.is_known:
            return fifo
        if fifo is not None:
            self._note(None)
            fifo.close()
        try:
            fifo = self._folder.open()
        except OSError:
            fifo = None
        self._note(fifo)
        return fifo

    def _note(self, fifo: WakeupFifo | None) -> None:
        """Note the FIFO that ``close`` rings; none that is closed, as its number is given anew."""
        with self._changed:
            if self._thread is threading.current_thread():
                self._fifo = fifo
