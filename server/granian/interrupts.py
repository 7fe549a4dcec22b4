"""The event that Granian's main thread waits for: a signal to any thread of the process sets it.

The kernel may give a signal of the process to any of its threads; it does so where one follows
another closely, such as SIGTERM after SIGCONT. Python runs the handler in the main thread, but
``threading.Event.wait`` does not return to it before the event is set, which is what the handler
would do. Besides, a handler that sets such an event deadlocks where it interrupts the wait itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading


class Interrupts(threading.Event):
    """An event that wakes its waiter by a pipe, which the interpreter writes to on a signal."""

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
        with contextlib.suppress(BlockingIOError):  # full of bytes that wake the waiter as well
            os.write(self._writer, b"!")

    def clear(self) -> None:
        """Reset the event."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, or until as many seconds have passed without any signal."""
        while not self._flag:
            readable, _, _ = select.select([self._reader], [], [], timeout)
            if not readable:
                break
            os.read(self._reader, 4_096)
        return self._flag
