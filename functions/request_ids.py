"""Names for single requests: in the answer, in the log, in the audit trail."""

from __future__ import annotations

from itertools import count
from secrets import token_hex
from typing import Final

_KEY: Final = "rundlet.request_id"


class RequestIds:
    """Gives a request an id when somebody first asks for it; most never need one."""

    def __init__(self) -> None:
        # Cheaper than a random number for each request, and as unique: the first half differs
        # in every process.
        self._process_id = token_hex(4)
        self._numbers = count(1)

    def of(self, environ: dict[str, object]) -> str:
        """The id of a request, by its WSGI environment."""
        found = environ.get(_KEY)
        if not isinstance(found, str):
            found = f"{self._process_id}-{next(self._numbers):x}"
            environ[_KEY] = found
        return found
