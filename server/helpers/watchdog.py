"""Notify systemd that the first process of a server runs, so that systemd restarts it if it hangs.

No other process of the server watches the first one. With ``WatchdogSec=`` systemd passes a socket
and an interval. It ends and restarts a service that sends nothing for longer: a process that is
stopped (SIGSTOP), or whose interpreter or event loop is blocked. See sd_notify(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final, Self

_SHARE: Final = 0.5
"""The share of the interval after which to notify; sd_watchdog_enabled(3) recommends half."""


class Watchdog:
    """A thread that sends keep-alive notifications; a context manager."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the socket and interval from ``environ``; without them, send nothing."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # a socket in the abstract namespace
            self._address = "\0" + self._address[1:]
        interval_us = environ.get("WATCHDOG_USEC", "")
        is_meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        is_asked = bool(self._address) and interval_us.isdecimal() and is_meant
        self._every_s = int(interval_us) / 1e6 * _SHARE if is_asked else 0.0
        self._is_moving: Callable[[], bool] = _always
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rundlet-watchdog", daemon=True)

    def watch(self, is_moving: Callable[[], bool]) -> None:
        """Send nothing from now on while ``is_moving`` returns false."""
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
        with contextlib.suppress(OSError):  # systemd is busy or restarting: send the next one
            notify.sendto(b"WATCHDOG=1", self._address)


def _always() -> bool:
    return True
