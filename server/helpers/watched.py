"""Keep a helper process running as long as the server, and no longer.

The helper's stdin is a pipe whose other end only this process holds. When this process ends, even
by a kill, the helper reads end-of-file and ends by itself. Only if a helper ignores the end-of-file
does this process send it a signal.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final, Self

_BACK_OFF_FIRST_S: Final = 0.5
_BACK_OFF_MAX_S: Final = 30.0
_STEADY_S: Final = 60.0  # after that long a run, the next failure is a new one
_END_S: Final = 10.0

_logger = logging.getLogger("rundlet.server")


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command for a module; ``-P`` keeps the working directory off the import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


class WatchedProcess:
    """A helper process that is restarted with growing delays when it dies.

    Use as a context manager; leaving it ends the process.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, back_off_first_s: float = _BACK_OFF_FIRST_S
    ) -> None:
        """Watch ``command``; ``name`` is its name in the warning that it died."""
        self._name = name
        self._command = command
        self._back_off_first_s = back_off_first_s
        self._is_ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # held while a process is started or told to end
        self._watcher = threading.Thread(target=self._watch, name="rundlet-watch", daemon=True)

    def __enter__(self) -> Self:
        self._start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_ending.set()
            process = self._process
        if process is not None:
            _end(process)
        self._watcher.join()

    @property
    def pid(self) -> int:
        """Process id of the helper that was started last."""
        assert self._process is not None
        return self._process.pid

    def _start(self) -> None:
        with self._lock:
            if self._is_ending.is_set():
                return
            # A group of its own: Ctrl-C in the terminal is for the server, which ends us in turn.
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, process_group=0)

    def _try_to_start(self) -> None:
        """Start the helper; if the system has no room for a process, the next round tries again."""
        try:
            self._start()
        except OSError as ex:
            _logger.warning("the %s process could not be started: %s", self._name, ex)

    def _watch(self) -> None:
        back_off_s = self._back_off_first_s
        while self._process is not None and not self._is_ending.is_set():
            started_s = time.monotonic()
            code = self._process.wait()
            _break_pipe(self._process)
            if time.monotonic() - started_s > _STEADY_S:
                back_off_s = self._back_off_first_s
            if not self._is_ending.wait(back_off_s):
                _logger.warning("the %s process ended with %d; starting it again", self._name, code)
                self._try_to_start()
            back_off_s = min(back_off_s * 2, _BACK_OFF_MAX_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe; if the process does not end, terminate it, then kill it."""
    _break_pipe(process)
    for insist in (process.terminate, process.kill):
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            insist()
    process.wait()


def _break_pipe(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
