"""Memory and descriptors of a server's processes, if the system reports them (Linux does)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rundlet_server.storage.counting.rows import CountingProcess, Role

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """The resources of all processes of one role together.

    Attributes:
        role: ``worker`` or ``maintenance``.
        number: the number of processes.
        resident_bytes: memory; a page that several processes share counts once for each.
        private_bytes: the part of it that is not shared with files: what ending them would free.
        descriptors: open files and sockets.
    """

    role: Role
    number: int
    resident_bytes: int
    private_bytes: int
    descriptors: int


def usage_by_role(processes: Iterable[CountingProcess]) -> list[Usage]:
    """Sum by role; a process whose memory and descriptors the system hides adds 0 to those."""
    sums: dict[Role, list[int]] = {}
    for process in processes:
        found = _usage_of(process.pid)
        before = sums.get(process.role, [0] * len(found))
        sums[process.role] = [a + b for a, b in zip(before, found, strict=True)]
    return [Usage(role, *sums[role]) for role in sorted(sums)]


def _usage_of(pid: int) -> tuple[int, int, int, int]:
    folder = Path("/proc") / str(pid)
    try:
        _, resident, shared, *_ = map(int, (folder / "statm").read_text().split())
        descriptors = len(os.listdir(folder / "fd"))
    except (OSError, ValueError):
        return 1, 0, 0, 0
    return 1, resident * _PAGE_BYTES, (resident - shared) * _PAGE_BYTES, descriptors
