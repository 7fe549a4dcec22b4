"""Tell systemd that the first process of a server runs, so that it is restarted if it hangs.

That is the one process that no other process of the server watches. With ``WatchdogSec=`` systemd
names a socket and an interval, and ends and restarts a service that is silent for longer: one that
is stopped (SIGSTOP), or in which something keeps the interpreter, or the loop of a server, for
itself. See sd_notify(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final, Self

_SHARE: Final = 0.5
"""Of the interval, as sd_watchdog_enabled(3) recommends."""


class Watchdog:
    """A thread that sends signs of life; a context manager."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read what systemd asks for; without it nothing is sent."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # a name that is in no folder
            self._address = "\0" + self._address[1:]
        interval_us = environ.get("WATCHDOG_USEC", "")
        is_meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        is_asked = bool(self._address) and interval_us.isdecimal() and is_meant
        self._every_s = int(interval_us) / 1e6 * _SHARE if is_asked else 0.0
        self._is_moving: Callable[[], bool] = _always
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rundlet-watchdog", daemon=True)

    def watch(self, is_moving: Callable[[], bool]) -> None:
        """From now on be silent while ``is_moving`` is false."""
        self._is_moving = is_moving

    def __enter__(self) -> Self:
        if self._every_s:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()

    def _run(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_UNIX, kind) as notify:
            while True:
                if self._is_moving():
                    self._send(notify)
                if self._is_ending.wait(self._every_s):
                    return

    def _send(self, notify: socket.socket) -> None:
        with contextlib.suppress(OSError):  # systemd is busy or restarting: the next one arrives
            notify.sendto(b"WATCHDOG=1", self._address)


def _always() -> bool:
    return True
