"""Operations on the keys of a range: lists, counts, deletion."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import urlencode

from rundlet.answers import fields_of, header_number, next_page_query, page_of
from rundlet.calls.batches import txn
from rundlet.calls.call import Call, Listing, Progress, Request, needed, read
from rundlet.calls.past import time_text
from rundlet.errors import BadRequest, Conflict, PreconditionFailed, TooLarge
from rundlet.model import Delete, KeyInfo
from rundlet.wire import ACCEPTED_TYPES

_PAGE_KEYS: Final = 1_000
_OPS: Final = 1_000
_ATTEMPTS: Final = 3
_CANNOT_STATUSES: Final = frozenset({405, 413})
"""The server does not know this request, or allows fewer writes in a transaction than usual."""


class Range(NamedTuple):
    """A range of keys at a revision or time; attributes as in ``Client.scan``."""

    prefix: str = ""
    start: str | None = None
    end: str | None = None
    match: str | None = None
    revision: int | None = None
    at: datetime | str | None = None

    def options(self) -> dict[str, str | int | None]:
        """Return the options of a query for the range."""
        if self.revision is not None and self.at is not None:
            message = "give at most one of revision and at"
            raise BadRequest(message)
        return {
            "prefix": self.prefix or None,
            "match": self.match,
            "start": self.start,
            "end": self.end,
            "rev": self.revision,
            "at": None if self.at is None else time_text(self.at),
        }


class _Page(NamedTuple):
    """The keys of a page, and the query of the next page."""

    infos: list[KeyInfo]
    next_query: str | None


def scan(
    keys: Range,
    *,
    limit: int | None = None,
    reverse: bool = False,
    delimiter: str | None = None,
    values: bool = False,
    meta: bool = False,
) -> Listing[KeyInfo]:
    """Yield the keys of a range, in order."""
    if keys.match is not None and delimiter is not None:
        message = "give at most one of match and delimiter"
        raise BadRequest(message)
    options = keys.options() | {
        # The server's page size is the default; only a shorter list needs a limit.
        "limit": limit if limit is not None and limit < _PAGE_KEYS else None,
        "reverse": "true" if reverse else None,
        "delimiter": delimiter,
        "include": ",".join(["value"] * values + ["meta"] * meta) or None,
    }
    query: str | None = _query(options)
    left = limit
    while query is not None and left != 0:
        infos, query = yield from _page(query, reverse=reverse, values=values)
        yield infos[:left]
        if left is not None:
            left = max(0, left - len(infos))


def count(keys: Range) -> Call[int]:
    """Return the number of keys of a range."""
    return (yield from _counted(_query(keys.options())))


def _counted(query: str) -> Call[int]:
    response = yield Request("HEAD", f"/v1/keys?{query}", is_write=False)
    return header_number(needed(response), "KV-Count")


def delete_prefix(
    prefix: str, *, match: str | None, expect: int | None, progress: Progress | None
) -> Call[int]:
    """Delete the keys with a prefix; return how many had a value."""
    if not prefix:
        message = "the prefix is empty, which means all keys; name the keys, with delete_many"
        raise BadRequest(message)
    options = Range(prefix, match=match).options()
    if expect is None:
        return (yield from _delete_counted(options, progress))
    deleted = yield from _delete_expected(options | {"expect": expect})
    if progress:
        progress(deleted)
    return deleted


def _delete_expected(options: dict[str, str | int | None]) -> Call[int]:
    path = f"/v1/keys?{_query(options)}"
    request = Request("DELETE", path, is_write=True, headers={"Accept": ACCEPTED_TYPES})
    return fields_of(needed((yield request))).number("deleted")


def _delete_counted(options: dict[str, str | int | None], progress: Progress | None) -> Call[int]:
    """Let the server delete the counted keys; delete them by name only if it cannot."""
    query = _query(options)
    for _ in range(_ATTEMPTS):
        count = yield from _counted(query)
        if count > _OPS:
            break
        try:
            deleted = yield from _delete_expected(options | {"expect": count})
        except (Conflict, PreconditionFailed):
            continue  # other clients write the keys
        except BadRequest as ex:
            if ex.status not in _CANNOT_STATUSES:
                raise
            break
        if progress:
            progress(deleted)
        return deleted
    return (yield from _delete_listed(query, progress))


def _delete_listed(query: str, progress: Progress | None) -> Call[int]:
    """List keys, and delete them by name."""
    left: str | None = query
    deleting = Deleting(progress)
    while left is not None:
        infos, left = yield from _page(left)
        for info in infos:
            call = deleting.add(info.key)
            if call is not None:
                yield from call
    return (yield from deleting.end())


class Deleting:
    """Deletes keys that are added one by one, in transactions."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = 0
        self._deleted = 0
        self._size = _OPS
        self._keys: dict[str, None] = {}

    def add(self, key: str) -> Call[None] | None:
        """Add a key."""
        self._keys[key] = None
        return self._send() if len(self._keys) >= self._size else None

    def end(self) -> Call[int]:
        """Delete the last keys; return how many of all had a value."""
        if self._keys:
            yield from self._send()
        return self._deleted

    def _send(self) -> Call[None]:
        while self._keys:
            some = list(islice(self._keys, self._size))
            try:
                commit = yield from txn([Delete(key) for key in some])
            except TooLarge:
                if len(some) == 1:
                    raise
                self._size = len(some) // 2  # the server allows fewer than usual
                continue
            for key in some:
                del self._keys[key]
            self._done += len(some)
            self._deleted += sum(result.found is True for result in commit.results)
            if self._progress:
                self._progress(self._done)


def _page(query: str, *, reverse: bool = False, values: bool = False) -> Call[_Page]:
    response = needed((yield read(f"/v1/keys?{query}")))
    infos = page_of(response, reverse=reverse, values=values)
    return _Page(infos, next_page_query(response))


def _query(options: dict[str, str | int | None]) -> str:
    return urlencode({name: given for name, given in options.items() if given is not None})
