"""strace at a running process: which system calls it makes on some files, and faults in them."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import PATIENCE_S
from tests.support.programs import program

_CALL = re.compile(r"^(\d+) +(\w+)\(")


class CannotTrace(Exception):
    """This machine does not let strace look at other processes."""


class Fault(NamedTuple):
    """The n-th call of a name, in each thread, fails with an error, or is where the process dies.

    Attributes:
        call: name of the system call.
        kind: ``error=EIO`` ... or ``signal=KILL``, which comes before the call is made.
        number: from 1.
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
    """What strace wrote down: one line for each system call."""

    text: str

    @property
    def injected(self) -> int:
        """Calls that were made to fail."""
        return self.text.count("(INJECTED)")

    def counts(self, pid: int) -> dict[str, int]:
        """How often the first thread of a process made each call."""
        counts: dict[str, int] = {}
        for line in self.text.splitlines():
            found = _CALL.match(line)
            if found and int(found[1]) == pid:
                counts[found[2]] = counts.get(found[2], 0) + 1
        return counts

    def names(self, folder: Path) -> set[str]:
        """Names in a folder that a call was about."""
        return set(re.findall(re.escape(str(folder)) + r'/([^/">]+)[">]', self.text))


@contextlib.contextmanager
def attached(
    pid: int, log: Path, calls: Collection[str], *, paths: Collection[Path], fault: Fault | None
) -> Iterator[None]:
    """Trace a process until it ends; on leaving, ``log`` is whole.

    Args:
        pid: of the process, whose threads are traced, too.
        log: file for what is seen.
        calls: names of system calls to note.
        paths: calls on these files alone count; all where there are none.
        fault: to inject.

    Raises:
        CannotTrace: this machine does not allow it.
    """
    command = [program("strace"), "-f", "-y", "-s", "0", "-o", str(log)]
    command += ["-e", f"trace={','.join(calls)}"]
    command += [option for path in paths for option in ("-P", str(path))]
    command += ["-e", f"inject={fault}"] if fault else []
    with subprocess.Popen(
        [*command, "-p", str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr is not None
        line = strace.stderr.readline()
        if "attached" not in line:
            raise CannotTrace(line.strip())
        try:
            yield
        finally:
            strace.communicate(timeout=PATIENCE_S)
