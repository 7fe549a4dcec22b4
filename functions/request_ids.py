"""Ids of single requests, as the answer, the log and the audit trail give them."""

from __future__ import annotations

from itertools import count
from secrets import token_hex
from typing import Final

from rundlet_server.storage.forks import listen_for_forks

_KEY: Final = "rundlet.request_id"


class RequestIds:
    """Gives a request an id when the id is first needed; most requests never need one."""

    def __init__(self) -> None:
        # This is cheaper than a random number for each request and as unique, because the first
        # half differs in every process.
        self._process_id = token_hex(4)
        self._numbers = count(1)
        listen_for_forks(self)

    def after_fork(self) -> None:
        """Take another first half in a forked child."""
        self._process_id = token_hex(4)

    def of(self, environ: dict[str, object]) -> str:
        """Return the id of the request with this WSGI environment."""
        found = environ.get(_KEY)
        if not isinstance(found, str):
            found = f"{self._process_id}-{next(self._numbers):x}"
            environ[_KEY] = found
        return found
