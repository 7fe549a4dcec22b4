"""Byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import re

from rundlet_server.functions.problems import Problem

_BYTES = re.compile(r"bytes=(.*)", re.IGNORECASE)
_RANGE = re.compile(r"[ \t]*([0-9]{0,30})-([0-9]{0,30})[ \t]*")


def range_of(header: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte of a ``Range`` header over a value of ``size`` bytes.

    ``None`` means that the whole value is the answer: the header is malformed, has another unit, or
    several ranges, for which an answer could be larger than the whole value.

    Raises:
        Problem: 416 ``range-not-satisfiable``.
    """
    named = _BYTES.fullmatch(header)
    found = _RANGE.fullmatch(named[1]) if named else None
    if found is None:
        return None
    first, last = found[1], found[2]
    if first:
        return _from_first(int(first), int(last) if last else None, size)
    return _suffix(int(last), size) if last else None


def _from_first(first: int, last: int | None, size: int) -> tuple[int, int] | None:
    if last is not None and last < first:
        return None
    if first >= size:
        raise _not_satisfiable(size)
    return first, size - 1 if last is None else min(last, size - 1)


def _suffix(length: int, size: int) -> tuple[int, int] | None:
    if length == 0:
        raise _not_satisfiable(size)
    if size == 0:  # satisfiable by the letter, but no Content-Range can say "no bytes"
        return None
    return max(0, size - length), size - 1


def _not_satisfiable(size: int) -> Problem:
    detail = f"the range lies outside of the value, which has {size} bytes; ask for bytes within it"
    headers = {"Content-Range": f"bytes */{size}"}
    return Problem(416, "range-not-satisfiable", detail, headers=headers)
