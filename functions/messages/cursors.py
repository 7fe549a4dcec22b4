"""Cursors of lists: where the next page begins, and the snapshot of all pages."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Final, TypeGuard

from rundlet_server.functions.messages.query import REVISION_MAX, bad_query
from rundlet_server.functions.messages.validators import store_digest
from rundlet_server.functions.problems import Problem
from rundlet_server.storage.timeline import Moment

_START_AGAIN: Final = "list again from the first page, without 'cursor'"


class Cursors:
    """Encodes and decodes the cursors of one store.

    They contain a digest of the store's id. Without it, a cursor of another store, or of a store
    before its backup was restored under a new id, could name a revision that exists here, and the
    pages would be of two different snapshots.
    """

    def __init__(self, store_id: str) -> None:
        self._digest = store_digest(store_id)

    def encode(self, *moments: Moment, resume: str) -> str:
        """Return the cursor of the next page, which begins after ``resume`` in these moments."""
        times = itertools.chain.from_iterable(moments)
        parts = json.dumps([*times, resume, self._digest], separators=(",", ":"))
        return base64.urlsafe_b64encode(parts.encode()).decode().rstrip("=")

    def decode(self, cursor: str, count: int) -> tuple[list[Moment], str]:
        """Return the ``count`` moments and the ``resume`` that ``encode`` was given.

        Raises:
            Problem: 400 ``bad-query``.
        """
        match _parts(cursor):
            case [*numbers, str(after), str(digest)] if _are_times(numbers, 2 * count):
                if digest != self._digest:
                    raise bad_query(f"the cursor is of another store; {_START_AGAIN}")
                if not _is_utf8(after):
                    raise _foreign()
                pairs = zip(numbers[::2], numbers[1::2], strict=True)
                return [Moment(*pair) for pair in pairs], after
        raise _foreign()


def _parts(cursor: str) -> object:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None


def _are_times(numbers: list[object], count: int) -> TypeGuard[list[int]]:
    return len(numbers) == count and all(
        type(number) is int and 0 <= number <= REVISION_MAX for number in numbers
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _foreign() -> Problem:
    return bad_query(f"the cursor is not one that this server gave out; {_START_AGAIN}")
