"""The lower bound: an append-only file and a dict of offsets; no checksums, no recovery."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.engines import Policy


class PreadEngine:
    """Writes ``key value`` lines; reads one range of the file for each value."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self._is_synced = policy == "always"
        self._file = os.open(folder / "log", os.O_RDWR | os.O_CREAT, 0o600)
        self._offset = 0
        self._places: dict[str, tuple[int, int]] = {}

    def get(self, key: str) -> bytes | None:
        place = self._places.get(key)
        return os.pread(self._file, place[1], place[0]) if place else None

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        self.put_all([(key, value)])

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        lines = []
        offset = self._offset
        for key, value in rows:
            line = b"%s %s\n" % (key.encode(), value)
            self._places[key] = (offset + len(line) - len(value) - 1, len(value))
            lines.append(line)
            offset += len(line)
        os.pwrite(self._file, b"".join(lines), self._offset)
        self._offset = offset
        if self._is_synced:
            os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def open_engine(folder: Path, policy: Policy) -> PreadEngine:
    """See ``EngineKind.open``."""
    return PreadEngine(folder, policy)
