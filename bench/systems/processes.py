"""Start servers on free ports of this machine, and end them by process id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from bench.errors import NotMeasurable

ROOT: Final = Path(__file__).parents[2]
_START_S_MAX: Final = 60.0
_END_S_MAX: Final = 8.0
_POLL_S: Final = 0.01
_LOG_TAIL: Final = 300


class Processes:
    """The processes of one system; a context manager that ends them, the last one first.

    Attributes:
        folder: the folder for their files.
        shared: process ids of servers that other systems use, too; it does not end them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared: list[int] = []
        self._started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self, command: Sequence[str | Path], *, port: int) -> float:
        """Start a process and wait until it answers on a port; return the seconds that took.

        Raises:
            NotMeasurable: the program is not installed, or ended, or does not answer.
        """
        log_path = self.folder / f"{len(self._started)}.log"
        began_s = time.monotonic()
        with log_path.open("wb") as log:
            try:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=ROOT,
                    start_new_session=True,  # Ctrl-C reaches only the run, which ends them in order
                )
            except OSError as ex:
                raise NotMeasurable(f"{command[0]} does not start: {ex}") from ex
        self._started.append((process, log_path))
        while not _answers(port):
            if process.poll() is not None:
                tail = log_path.read_text(errors="replace")[-_LOG_TAIL:].strip()
                raise NotMeasurable(f"{command[0]} ended with {process.returncode}: {tail}")
            if time.monotonic() - began_s > _START_S_MAX:
                raise NotMeasurable(f"{command[0]} does not answer after {_START_S_MAX:.0f} s")
            time.sleep(_POLL_S)
        return time.monotonic() - began_s

    @property
    def pids(self) -> list[int]:
        """Process ids, in the order of the start."""
        return [process.pid for process, _ in self._started]

    def kill(self) -> None:
        """End the last process as ``kill -9`` does, with its children."""
        process, _ = self._started.pop()
        family = [process.pid, *descendants_of(process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Ask each process to end; kill it if it does not end in time."""
        while self._started:
            process, _ = self._started[-1]
            process.terminate()
            try:
                process.wait(_END_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
            else:
                self._started.pop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def descendants_of(pid: int) -> list[int]:
    """Return the process ids of all descendants; empty if there is no ``/proc``."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if parent == str(pid):
            child = int(path.parent.name)
            found += [child, *descendants_of(child)]
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
