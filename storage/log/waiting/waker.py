"""The writer's side of waiting: wake the processes that wait, if there are any."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from rundlet_server.storage.forks import listen_for_forks
from rundlet_server.storage.log.format.commit_page import WORD_WAITERS, CommitPage
from rundlet_server.storage.log.waiting.fifo import WaitersFolder

_A_BYTE: Final = b"\n"


class Waker:
    """Writes to the FIFOs of all waiters, for one process; one thread at a time may use it."""

    def __init__(self, folder: WaitersFolder, commit_page: CommitPage) -> None:
        self._folder = folder
        self._words = commit_page.words
        self._number = 0
        self._descriptors: dict[str, int] = {}
        listen_for_forks(self)

    def wake(self) -> None:
        """Wake all waiters; never blocks, and never fails.

        The caller has published a commit, and the number is read after that. A waiter changes the
        number first and looks at the head after that. So one of the two sees the other.
        """
        number = self._words[WORD_WAITERS]
        if number & 1:
            with contextlib.suppress(OSError):
                self._wake(number)

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self._descriptors.values():
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors = {}
        self._number = 0

    def after_fork(self) -> None:
        """Close the child's copies."""
        self.close()

    def _wake(self, number: int) -> None:
        if number != self._number and self._look_for_new():
            self._number = number
        for name, descriptor in list(self._descriptors.items()):
            try:
                os.write(descriptor, _A_BYTE)
            except BlockingIOError:
                pass  # full: its owner has more to read than this byte
            except OSError:
                self._folder.remove(name)
                self._forget(name)
        if not self._descriptors:
            self._folder.retire()

    def _look_for_new(self) -> bool:
        """Open the FIFOs of newcomers; return false if the next commit must try again.

        A FIFO may fail to open, as if no descriptor is free; the others are woken all the same.
        """
        try:
            names = self._folder.names()
        except OSError:
            return False
        for name in self._descriptors.keys() - set(names):
            self._forget(name)
        is_whole = True
        for name in names:
            if name not in self._descriptors:
                try:
                    descriptor = self._folder.open_for_writing(name)
                except OSError:
                    is_whole = False
                    continue
                if descriptor is not None:
                    self._descriptors[name] = descriptor
        return is_whole

    def _forget(self, name: str) -> None:
        os.close(self._descriptors.pop(name))
