"""Find out whether the disk takes writes again, without touching the log."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Final

from rundlet_server.storage.files import Files

_SIZE: Final = 64 * 1024
_EVERY_S: Final = 1.0


class DiskProbe:
    """Writes a small file into a folder, syncs it, and removes it. Any thread may use the probe."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._path = folder / f"PROBE-{os.getpid()}.tmp"
        self._lock = threading.Lock()
        self._next_s = 0.0

    def succeeds(self) -> bool:
        """Try to write; return whether that succeeds, or false within a second of the last try."""
        with self._lock:
            if time.monotonic() < self._next_s:
                return False
            self._next_s = time.monotonic() + _EVERY_S
            return self._try()

    def _try(self) -> bool:
        try:
            file = self._files.open(self._path, create=True)
            try:
                file.pwrite([os.urandom(_SIZE)], 0)  # zeros take no space on some file systems
                file.sync()
            finally:
                file.close()
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                self._files.unlink(self._path)
        return True
