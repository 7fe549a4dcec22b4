"""Whether the store reads and writes, as far as it is meant to, and why not.

A store that is still replaying its log is not seen here: the server listens once it is open.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.functions.access.admission import TokenSource
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.storage.errors import StoreError

DISK_FREE_BYTES_MIN: Final = 1024 * 1024
"""With less, a write may be refused at any moment."""
_MAINTENANCE_GRACE_S: Final = 10.0
"""The maintenance process starts after the server, and is started again when it died."""


class Report(NamedTuple):
    """How ready a server is.

    Attributes:
        reasons: why it is not, each a sentence; none where it is.
        disk_free_bytes: of the disk with the data; ``None`` where nothing is written.
    """

    reasons: list[str]
    disk_free_bytes: int | None

    @property
    def is_ready(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


class Readiness:
    """Finds out how ready a server is. Any thread may ask."""

    def __init__(
        self,
        store: CountedStore,
        data_path: Path | None,
        tokens: TokenSource,
        *,
        is_maintained: bool,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch a store.

        Args:
            store: it.
            data_path: where it writes; ``None`` where it does not write to a folder.
            tokens: that requests go by.
            is_maintained: a maintenance process should be counting beside this one.
            monotonic_s: a clock in seconds.
        """
        self._store = store
        self._data_path = data_path
        self._tokens = tokens
        self._is_maintained = is_maintained
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._maintained_s = monotonic_s()

    def report(self) -> Report:
        """How it is now."""
        free_bytes = self._free_bytes()
        reasons = self._store.store.problems() + self._token_problems()
        if not self._store.read_only:
            if free_bytes is not None and free_bytes < DISK_FREE_BYTES_MIN:
                reasons.append(
                    f"the disk is full: {free_bytes} bytes are free; writes are or will be refused"
                    " until there is space again"
                )
            if self._is_maintained and self._is_unmaintained():
                reasons.append(
                    "the maintenance process is not running; see the server's log for why it ends"
                )
        return Report(reasons, free_bytes)

    def _token_problems(self) -> list[str]:
        try:
            self._tokens.current()
        except StoreError:
            return ["the tokens cannot be read, so requests are refused; see rundlet token ls"]
        return []

    def _free_bytes(self) -> int | None:
        if self._data_path is None:
            return None
        try:
            found = os.statvfs(self._data_path)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    def _is_unmaintained(self) -> bool:
        processes = self._store.counters.shared.processes()
        now_s = self._monotonic_s()
        with self._lock:
            if any(process.role == "maintenance" for process in processes):
                self._maintained_s = now_s
            return now_s - self._maintained_s > _MAINTENANCE_GRACE_S
