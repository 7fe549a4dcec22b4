"""How much memory the processes of a server take."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.processes.servers import children_of

_SAMPLE_S: Final = 0.02


def resident_bytes(pid: int) -> int:
    """Return the memory of a process and of all it started, less what they share with files."""
    return sum(map(_of_one, [pid, *_descendants(pid)]))


class PeakMemory:
    """Samples the memory of a server within the block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.before = resident_bytes(pid)
        self.most = self.before

    @property
    def growth(self) -> int:
        """The bytes by which the memory grew at most."""
        return self.most - self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            self.most = max(self.most, resident_bytes(self._pid))


def _descendants(pid: int) -> list[int]:
    found = children_of(pid)
    return found + [each for child in found for each in _descendants(child)]


def _of_one(pid: int) -> int:
    """Return the anonymous memory; 0 for a process that has ended meanwhile."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in lines if line.startswith("RssAnon")]
    return 1024 * sum(map(int, sizes))
