"""Ends statements that a database which no longer answers will never answer.

A host that is frozen, or that a network has cut off, keeps its connections: no error ever comes. So
a thread looks at statements that take long, and tries to connect to the same host. If that fails,
it shuts their sockets, and they fail as if the host had died. A database that only takes long, for
instance to count a hundred million keys, answers, and is left alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

LOOK_EVERY_S: Final = 1.0
SUSPICIOUS_S: Final = 3.0
"""A statement that takes so long makes the thread try to connect ..."""
_PROBE_S: Final = 3
"""... and wait so long for that."""


class Lifeline:
    """Watches the connections of one pool that are in use. Any thread may use it."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._busy: dict[psycopg.Connection, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rundlet-lifeline", daemon=True)
        self._thread.start()

    def begin(self, link: psycopg.Connection) -> None:
        """Note that a connection is in use from now on."""
        self._busy[link] = time.monotonic()

    def finish(self, link: psycopg.Connection) -> None:
        """Note that a connection is no longer in use."""
        self._busy.pop(link, None)

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            before_s = time.monotonic() - SUSPICIOUS_S
            overdue = [
                (link, since) for link, since in list(self._busy.items()) if since < before_s
            ]
            answers: dict[tuple[str, int], bool] = {}
            for link, since in overdue:
                # The connection may break, or its statement end, at any moment.
                with contextlib.suppress(psycopg.Error, OSError):
                    host = link.info.host, link.info.port
                    if host not in answers:
                        answers[host] = self._answers(link)
                    if not answers[host] and self._busy.get(link) == since:
                        _shut(link)

    def _answers(self, link: psycopg.Connection) -> bool:
        """Return whether the host of a connection takes a new one."""
        info = link.info
        conninfo = make_conninfo(
            self._conninfo,
            host=info.host,
            hostaddr=info.hostaddr,
            port=str(info.port),
            connect_timeout=_PROBE_S,
            target_session_attrs="any",
        )
        try:
            psycopg.connect(conninfo).close()
        except psycopg.OperationalError:
            return False
        return True


def _shut(link: psycopg.Connection) -> None:
    """Shut the socket of a connection, so that the thread that waits for it gets an error."""
    with socket.socket(fileno=os.dup(link.fileno())) as shared:
        shared.shutdown(socket.SHUT_RDWR)
