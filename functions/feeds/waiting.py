"""Where requests that wait for commits sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rundlet_server.functions.feeds.connection import connection_of
from rundlet_server.storage.timeline import Timeline

_LOOK_EVERY_S: Final = 1.0
"""So soon a request that waits notices a client that has left, and a token that was revoked."""

WAITED_NS: Final = "rundlet.waited_ns"
"""Where the environment of a request keeps how long it slept: that is no work."""

Readmit = Callable[[dict[str, object]], None]
"""Authenticates the caller of a request again; raises ``Problem``."""


class Waiting:
    """Waits for commits, as ``Waits`` does."""

    def __init__(self, store: Timeline, readmit: Readmit) -> None:
        self._store = store
        self._readmit = readmit

    def sleep(self, since: int, most_s: float) -> None:
        """Sleep until there is a commit above ``since``, a second at most: then look around."""
        self._store.wait(since, min(most_s, _LOOK_EVERY_S))

    def goes_on(self, environ: dict[str, object]) -> bool:
        """Return whether it makes sense to go on; otherwise no one reads the answer.

        Raises:
            Problem: the caller's token has been revoked or has expired.
        """
        if connection_of(environ).is_over():
            return False
        self._readmit(environ)
        return True

    def until(
        self, environ: dict[str, object], since: int, wait_s: float, is_it: Callable[[], bool]
    ) -> None:
        """Return as soon as ``is_it`` is true, after the time, or if no one waits any more.

        Args:
            environ: of the request.
            since: a revision; ``is_it`` is asked after every commit above it, and once a second.
            wait_s: the time.
            is_it: whether the wait is over.

        Raises:
            Problem: see ``goes_on``.
        """
        began_s = time.monotonic()
        ends_s = began_s + wait_s
        head = since
        try:
            while (left_s := ends_s - time.monotonic()) > 0 and self.goes_on(environ):
                head = self._store.wait(head, min(left_s, _LOOK_EVERY_S))
                if is_it():
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
