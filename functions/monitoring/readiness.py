"""Whether the store can read and write, and if not, why. A read-only store need not write.

This never covers a store that is still replaying its log: the server listens only once it is open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.logs import LineFile
from rundlet_server.storage.counting.heartbeat import hung_processes
from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.forks import listen_for_forks
from rundlet_server.storage.reports import Health
from rundlet_server.storage.tokens.interface import TokenSource

_MAINTENANCE_GRACE_S: Final = 10.0
"""Time for the maintenance process to start after the server, or to restart after it died."""

HUNG_ENDED_S: Final = 15
"""After so long without progress, the server ends and replaces a process."""


class Readiness:
    """Checks whether a server is ready. Any thread may call it."""

    def __init__(
        self,
        store: CountedStore,
        tokens: TokenSource,
        *,
        is_maintained: bool,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch a store.

        Args:
            store: the store to watch.
            tokens: the tokens that authenticate requests.
            is_maintained: the server should have a running maintenance process.
            monotonic_s: a clock in seconds.
        """
        self._store = store
        self._tokens = tokens
        self._is_maintained = is_maintained
        self._monotonic_s = monotonic_s
        self._audit: LineFile | None = None
        self._lock = threading.Lock()
        self._maintained_s = monotonic_s()
        listen_for_forks(self)

    def after_fork(self) -> None:
        """Renew the lock in a forked child: another thread may have held it."""
        self._lock = threading.Lock()

    def watch_audit(self, file: LineFile) -> None:
        """Warn if the audit trail cannot be written to its file."""
        self._audit = file

    def health(self) -> Health:
        """Return the health of the store, the tokens, all processes and the audit trail."""
        health = self._store.health()
        reasons = health.reasons + self._token_problems()
        if self._is_maintained and self._is_unmaintained():
            reasons.append(
                "the maintenance process is not running; see the server's log for why it ends"
            )
        reasons += self._hung()
        return replace(health, reasons=reasons, warnings=health.warnings + self._unaudited())

    def _unaudited(self) -> list[str]:
        problem = self._audit.problem() if self._audit else None
        return [f"the audit trail goes to the server's log: {problem}"] if problem else []

    def _hung(self) -> list[str]:
        return [
            f"the {process.role} process {process.pid} has not moved for {late_ms // 1_000} s: it"
            f" is stopped, or hangs; the server ends and replaces it after {HUNG_ENDED_S} s"
            for process, late_ms in hung_processes(self._store.counters.shared).items()
        ]

    def _token_problems(self) -> list[str]:
        try:
            self._tokens.current()
        except Unavailable:
            return ["the tokens cannot be read now, so requests are refused"]
        except StoreError:
            return ["the tokens cannot be read, so requests are refused; see rundlet token ls"]
        return []

    def _is_unmaintained(self) -> bool:
        processes = self._store.counters.shared.processes()
        now_s = self._monotonic_s()
        with self._lock:
            if any(process.role == "maintenance" for process in processes):
                self._maintained_s = now_s
            return now_s - self._maintained_s > _MAINTENANCE_GRACE_S
