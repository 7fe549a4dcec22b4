"""Block requests that wait for commits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rundlet_server.functions.feeds.connection import connection_of
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.waits import IN_THREAD, Waits, Watched
from rundlet_server.storage.interface import Store
from rundlet_server.storage.timeline import Changes

WAITED_NS: Final = "rundlet.waited_ns"
"""The environ variable with the time that a request waited, which does not count as work."""

Readmit = Callable[[dict[str, object]], None]
"""Authenticates the caller of a request again; raises ``Problem``."""


@dataclass(frozen=True, slots=True)
class Waited:
    """What one request waits for.

    Attributes:
        prefix: of the keys.
        since: a revision; only commits above it count.
        wait_s: how long to wait at most.
        look_every_s: how often to check the condition even without a commit.
    """

    prefix: str
    since: int
    wait_s: float
    look_every_s: float = math.inf


class Waiting:
    """Waits for commits, as ``Waits`` does."""

    def __init__(self, store: Store, readmit: Readmit, waits: Waits = IN_THREAD) -> None:
        self._store = store
        self._readmit = readmit
        self._waits = waits

    def next_changes(
        self, environ: dict[str, object], prefix: str, since: int, most_s: float
    ) -> Changes | None:
        """Wait for changes of keys with a prefix after a revision; see ``Waits.next_changes``."""

        def is_over() -> bool:
            try:
                return not self.goes_on(environ)
            except Problem:  # the request gets it when it goes on itself
                return True

        return self._waits.next_changes(self._store, Watched(prefix, since, is_over), most_s)

    def goes_on(self, environ: dict[str, object]) -> bool:
        """Return whether the client is connected and the server is not shutting down.

        Raises:
            Problem: the caller's token has been revoked or has expired.
        """
        if connection_of(environ).is_over():
            return False
        self._readmit(environ)
        return True

    def until(
        self,
        environ: dict[str, object],
        waited: Waited,
        is_it: Callable[[Changes | None], bool],
    ) -> None:
        """Block until ``is_it`` is true, the time is over, or the client has disconnected.

        Args:
            environ: of the request.
            waited: the keys and the time.
            is_it: called with each result of ``Waits.next_changes``; true ends the wait.

        Raises:
            Problem: see ``goes_on``.
        """
        began_s = time.monotonic()
        ends_s = began_s + waited.wait_s
        since = waited.since
        try:
            while (left_s := ends_s - time.monotonic()) > 0 and self.goes_on(environ):
                most_s = min(left_s, waited.look_every_s)
                found = self.next_changes(environ, waited.prefix, since, most_s)
                # Set before ``is_it`` looks, so that any later commit ends the next wait.
                since = self._store.wait(0, 0) if found is None else found.next_since
                if is_it(found):
                    return
        finally:
            environ[WAITED_NS] = int((time.monotonic() - began_s) * 1e9)


def waited_for(header: str | None, most_s: float) -> int:
    """Return the whole seconds of ``Prefer: wait=N`` (RFC 7240), ``most_s`` at most; 0 for none."""
    for preference in (header or "").split(","):
        name, _, seconds = preference.partition(";")[0].strip().partition("=")
        if name.strip().lower() == "wait" and seconds.strip().isdecimal():
            return min(int(seconds.strip()[:9]), int(most_s))
    return 0
