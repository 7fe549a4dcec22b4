"""The query of a URL, read strictly: a mistyped option is an error, never ignored."""

from __future__ import annotations

import math
import re
from urllib.parse import unquote_to_bytes

import falcon

from rundlet_server.functions.problems import Problem
from rundlet_server.storage.bounds import TTL_S_MAX
from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.selecting.globs import Glob

REVISION_MAX = 2**63 - 1
TTL_S_MIN = 0.000_001
"""One microsecond, the unit of the store's clock."""

_DECIMAL = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_PLAIN_TTL = re.compile(rb"ttl=([0-9]{1,9}(?:\.[0-9]{1,6})?)")
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
        """Return an option as it is."""
        return self._options.get(name)

    def flag(self, name: str) -> bool:
        """Return true for ``?name``, ``?name=true`` and ``?name=1``."""
        text = self._options.get(name, "false")
        if text in ("", "1", "true"):
            return True
        if text in ("0", "false"):
            return False
        raise bad_query(f"the option '{name}' is neither true nor false; send one of them")

    def words(self, name: str, known: tuple[str, ...]) -> frozenset[str]:
        """Return the words of a comma-separated list, all of which must be in ``known``."""
        text = self._options.get(name)
        words = frozenset(text.split(",")) if text is not None else frozenset()
        if not words <= set(known):
            options = " or ".join(f"'{word}'" for word in known)
            more = ", or both with a comma between them" if len(known) > 1 else ""
            raise bad_query(f"the option '{name}' can only be {options}{more}; or leave it out")
        return words

    def count(self, name: str, *, default: int, most: int, limit: str) -> int:
        """Return a whole number from 1 to ``most``, which is the limit named ``limit``."""
        text = self._options.get(name)
        if text is None:
            return min(default, most)
        if _WHOLE.fullmatch(text) and 1 <= int(text) <= most:
            return int(text)
        raise bad_query(f"the option '{name}' must be a whole number from 1 to {most} ({limit})")

    def revision(self, name: str) -> int | None:
        """Return a revision, 0 included."""
        return self._whole(name, "a revision", least=0)

    def seconds(self, name: str, *, most: float, limit: str = "") -> float:
        """Return a number of seconds up to ``most``, 0 by default; ``limit`` names a limit."""
        text = self._options.get(name)
        if text is None:
            return 0
        seconds = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if 0 <= seconds <= most:
            return seconds
        reach = f"0 to {most:g} ({limit})" if limit else f"0 to {most:g}"
        raise bad_query(f"the option '{name}' must be a number of seconds from {reach}")

    def version(self, name: str) -> int | None:
        """Return a version of a key, from 1."""
        return self._whole(name, "a version", least=1)

    def ttl_s(self, name: str) -> float | None:
        """Return a time to live in seconds."""
        text = self._options.get(name)
        if text is None:
            return None
        seconds = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if is_ttl(seconds):
            return seconds
        raise bad_query(
            f"the option '{name}' must be a number of seconds from {TTL_S_MIN:f} to {TTL_S_MAX}"
        )

    def number(self, name: str) -> int | None:
        """Return a whole number, 0 included."""
        return self._whole(name, "a number", least=0)

    def _whole(self, name: str, what: str, *, least: int) -> int | None:
        text = self._options.get(name)
        if text is None:
            return None
        if _WHOLE.fullmatch(text) and least <= int(text) <= REVISION_MAX:
            return int(text)
        raise bad_query(
            f"the option '{name}' must be {what}: a whole number from {least} to 2^63-1"
        )

    def _add(self, pair: str, allowed: tuple[str, ...]) -> None:
        encoded_name, _, encoded = pair.partition("=")
        name = _decode(encoded_name)
        if name not in allowed:
            options = ", ".join(f"'{option}'" for option in allowed) or "none"
            raise bad_query(f"there is no option {name[:80]!r} here; the options are: {options}")
        if name in self._options:
            raise bad_query(f"the option '{name}' is there twice; send it once")
        self._options[name] = _decode(encoded)


def glob_given(query: Query, prefix: str) -> Glob | None:
    """Return the glob for the rest of a key after the prefix, if the query has one."""
    text = query.text("match")
    if text is None:
        return None
    try:
        return Glob(text, len(prefix))
    except InvalidRequest as ex:
        raise bad_query(f"the option 'match' is no glob: {ex}") from ex


def revision_of(what: str, text: str) -> int:
    """Return a revision, 0 included; ``what`` names its place in the error."""
    if _WHOLE.fullmatch(text) and int(text) <= REVISION_MAX:
        return int(text)
    raise bad_query(f"{what} must be a revision: a whole number from 0 to 2^63-1")


def plain_ttl_s(query: bytes) -> float | None:
    """Return the time to live, in seconds, of a query that has only ``ttl`` in its plain form.

    Returns:
        ``None`` for any other query, even if it is valid for ``Query``.
    """
    match = _PLAIN_TTL.fullmatch(query)
    seconds = float(match[1]) if match else math.nan
    return seconds if is_ttl(seconds) else None


def is_ttl(seconds: float) -> bool:
    """Return whether a time to live is within the limits."""
    return TTL_S_MIN <= seconds <= TTL_S_MAX


def bad_query(detail: str) -> Problem:
    """Return the answer to a query that is malformed."""
    return Problem(400, "bad-query", detail)


def _decode(encoded: str) -> str:
    if _BROKEN_ESCAPE.search(encoded):
        raise bad_query("every '%' in the query needs two hex digits after it; send '%25' for '%'")
    try:
        return unquote_to_bytes(encoded.replace("+", " ").encode("latin-1")).decode()
    except UnicodeError as ex:
        raise bad_query("the query is not UTF-8 once percent-decoded; percent-encode UTF-8") from ex
