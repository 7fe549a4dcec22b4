"""The query of a URL, read strictly: a mistyped option is an error, never ignored."""

from __future__ import annotations

import math
import re
from urllib.parse import unquote_to_bytes

import falcon

from rundlet_server.functions.problems import Problem
from rundlet_server.storage.requests import TTL_S_MAX

REVISION_MAX = 2**63 - 1
TTL_S_MIN = 0.000_001

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_WHOLE = re.compile(r"[0-9]{1,19}")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Query:
    """The options of one request, each at most once.

    Values are decoded as HTML forms are: ``+`` is a space and ``%2B`` a plus.
    """

    def __init__(self, req: falcon.Request, *allowed: str) -> None:
        self._options: dict[str, str] = {}
        for pair in req.query_string.split("&") if req.query_string else ():
            if pair:
                self._add(pair, allowed)

    def text(self, name: str) -> str | None:
        """An option as it is."""
        return self._options.get(name)

    def flag(self, name: str) -> bool:
        """True for ``?name``, ``?name=true`` and ``?name=1``."""
        text = self._options.get(name, "false")
        if text in ("", "1", "true"):
            return True
        if text in ("0", "false"):
            return False
        raise bad_query(f"'{name}' may be true or false")

    def count(self, name: str, *, default: int, most: int, limit: str) -> int:
        """A whole number from 1 to ``most``, which is the limit named ``limit``."""
        text = self._options.get(name)
        if text is None:
            return min(default, most)
        if _WHOLE.fullmatch(text) and 1 <= int(text) <= most:
            return int(text)
        raise bad_query(f"'{name}' must be a whole number from 1 to {most}, {limit} of the server")

    def revision(self, name: str) -> int | None:
        """A revision, 0 included."""
        text = self._options.get(name)
        if text is None:
            return None
        if _WHOLE.fullmatch(text) and int(text) <= REVISION_MAX:
            return int(text)
        raise bad_query(f"'{name}' must be a revision, a whole number")

    def ttl_s(self, name: str) -> float | None:
        """A time to live in seconds."""
        text = self._options.get(name)
        if text is None:
            return None
        seconds = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if is_ttl(seconds):
            return seconds
        raise bad_query(f"'{name}' must be a number of seconds above 0, at most {TTL_S_MAX}")

    def _add(self, pair: str, allowed: tuple[str, ...]) -> None:
        encoded_name, _, encoded = pair.partition("=")
        name = _decode(encoded_name)
        if name not in allowed:
            options = ", ".join(f"'{option}'" for option in allowed) or "none"
            raise bad_query(f"there is no option {name[:80]!r} here; the options are: {options}")
        if name in self._options:
            raise bad_query(f"'{name}' stands there twice")
        self._options[name] = _decode(encoded)


def is_ttl(seconds: float) -> bool:
    """Whether a time to live is at least a microsecond, and ends within what a date can say."""
    return TTL_S_MIN <= seconds <= TTL_S_MAX


def bad_query(detail: str) -> Problem:
    """The answer to a query that cannot be understood."""
    return Problem(400, "bad-query", detail)


def _decode(encoded: str) -> str:
    if _BROKEN_ESCAPE.search(encoded):
        raise bad_query("every '%' in the query needs two hex digits after it")
    try:
        return unquote_to_bytes(encoded.replace("+", " ").encode("latin-1")).decode()
    except UnicodeError as ex:
        raise bad_query("the query is not valid UTF-8 once percent-decoded") from ex
