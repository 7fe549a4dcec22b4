"""The event that Granian's main thread waits for: a signal to any thread of the process sets it.

The kernel may deliver a signal of the process to any of its threads; it does so if one signal
closely follows another, such as SIGTERM after SIGCONT. Python runs the handler in the main thread,
but only after ``threading.Event.wait`` returns. That returns when the event is set, which only the
handler would do. Besides, if the handler interrupts the wait itself, setting such an event
deadlocks.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading


class Interrupts(threading.Event):
    """An event with a pipe that wakes its waiter; the interpreter writes to it on a signal."""

    def __init__(self) -> None:
        """Have this process's signals wake the waiter; call it in the main thread."""
        super().__init__()
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._flag = False

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self._flag

    def set(self) -> None:
        """Set the event; a signal handler may do so."""
        self._flag = True
        with contextlib.suppress(BlockingIOError):  # full: the bytes in it wake the waiter as well
            os.write(self._writer, b"!")

    def clear(self) -> None:
        """Reset the event."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, or until no signal has come for ``timeout`` seconds."""
        while not self._flag:
            readable, _, _ = select.select([self._reader], [], [], timeout)
            if not readable:
                break
            os.read(self._reader, 4_096)
        return self._flag
