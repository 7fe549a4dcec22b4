"""Attach strace to a running process: record its system calls on some files, and inject faults."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support import PATIENCE_S
from tests.support.programs import program

_CALL = re.compile(r"^(\d+) +(\w+)\(")


class CannotTrace(Exception):
    """This machine does not allow strace to trace other processes."""


class Fault(NamedTuple):
    """A fault at the n-th system call of a name in each thread: an error, or the process dies.

    Attributes:
        call: the name of the system call.
        kind: ``error=EIO`` and so on, or ``signal=KILL``, which acts before the call is made.
        number: counted from 1.
    """

    call: str
    kind: str
    number: int

    @property
    def is_deadly(self) -> bool:
        return self.kind == "signal=KILL"

    def __str__(self) -> str:
        return f"{self.call}:{self.kind}:when={self.number}"


class Trace(NamedTuple):
    """The output of strace: one line for each system call."""

    text: str

    @property
    def injected(self) -> int:
        """Return the calls that strace made fail."""
        return self.text.count("(INJECTED)")

    def counts(self, pid: int) -> dict[str, int]:
        """Return how often the first thread of a process made each call."""
        counts: dict[str, int] = {}
        for line in self.text.splitlines():
            found = _CALL.match(line)
            if found and int(found[1]) == pid:
                counts[found[2]] = counts.get(found[2], 0) + 1
        return counts

    def names(self, folder: Path) -> set[str]:
        """Return the file names in a folder that a call referred to."""
        return set(re.findall(re.escape(str(folder)) + r'/([^/">]+)[">]', self.text))


@contextlib.contextmanager
def attached(
    pid: int, log: Path, calls: Collection[str], *, paths: Collection[Path], fault: Fault | None
) -> Iterator[None]:
    """Trace a process until it ends; when the block ends, ``log`` is complete.

    Args:
        pid: of the process, whose threads are traced, too.
        log: the file for the output.
        calls: the names of the system calls to record.
        paths: record only calls on these files; if it is empty, record all.
        fault: the fault to inject.

    Raises:
        CannotTrace: this machine does not allow it.
    """
    options = ["-e", f"trace={','.join(calls)}"]
    options += [option for path in paths for option in ("-P", str(path))]
    options += ["-e", f"inject={fault}"] if fault else []
    with _attached(pid, log, options):
        yield


@contextlib.contextmanager
def slow_disk(pid: int, log: Path, wait_s: float) -> Iterator[None]:
    """Let the system have no file in memory, so that each read of a process waits for the disk.

    Args:
        pid: of the process, whose threads are traced, too.
        log: see ``attached``.
        wait_s: how long a read takes.

    Raises:
        CannotTrace: this machine does not allow it.
    """
    options = ["-e", "trace=pread64,preadv2", "-e", "inject=preadv2:error=EAGAIN"]
    options += ["-e", f"inject=pread64:delay_enter={round(wait_s * 1_000_000)}"]
    with _attached(pid, log, options) as strace:
        try:
            yield
        finally:
            strace.terminate()


@contextlib.contextmanager
def _attached(pid: int, log: Path, options: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    command = [program("strace"), "-f", "-y", "-s", "0", "-o", str(log), *options]
    with subprocess.Popen(
        [*command, "-p", str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr is not None
        line = strace.stderr.readline()
        if "attached" not in line:
            raise CannotTrace(line.strip())
        try:
            yield strace
        finally:
            strace.communicate(timeout=PATIENCE_S)
