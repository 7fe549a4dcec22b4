"""Operations on one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

import httpx

from rundlet.answers import header_number, info_of, is_absent, value_of
from rundlet.calls.batches import commit_if_revision, txn
from rundlet.calls.bodies import FileBody
from rundlet.calls.call import Call, Request
from rundlet.calls.past import place_query
from rundlet.errors import BadRequest, Conflict, ServerError
from rundlet.keys import key_path
from rundlet.model import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    Condition,
    Delete,
    KeyInfo,
    Put,
    Touch,
    Value,
    Written,
)
from rundlet.wire import bytes_of, metadata_headers


class Demand(NamedTuple):
    """The precondition of a write; see ``Client.set``."""

    if_absent: bool = False
    if_revision: int | None = None
    if_match: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of the precondition; for a revision there are none.

        Raises:
            BadRequest: there is more than one precondition.
        """
        if self.if_absent + (self.if_revision is not None) + (self.if_match is not None) > 1:
            message = "give at most one of if_absent, if_revision and if_match"
            raise BadRequest(message)
        if self.if_absent:
            return {"If-None-Match": "*"}
        return {} if self.if_match is None else {"If-Match": self.if_match}


_NO_DEMAND: Final = Demand()


def get_request(
    key: str,
    *,
    revision: int | None = None,
    at: datetime | str | None = None,
    version: int | None = None,
) -> Request:
    """Return the request for the value of a key."""
    return Request("GET", key_path(key) + place_query(revision, at, version), is_write=False)


def get(
    key: str,
    *,
    revision: int | None = None,
    at: datetime | str | None = None,
    version: int | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Call[Value | None]:
    """Return the value of a key, or a part of it."""
    path = key_path(key) + place_query(revision, at, version)
    if start is None and end is None:
        response = yield Request("GET", path, is_write=False)
        return None if is_absent(response) else value_of(key, response)
    return (yield from _part(key, path, start or 0, end))


def get_bytes(key: str) -> Call[bytes | None]:
    """Return the bytes of a key's value."""
    value = yield from get(key)
    return None if value is None else value.data


def _part(key: str, path: str, start: int, end: int | None) -> Call[Value | None]:
    response: httpx.Response | None = None
    if end is None or start < end:
        headers = {"Range": _range(start, end)}
        try:
            response = yield Request("GET", path, False, headers)
        except BadRequest as ex:
            if ex.status != 416:
                raise
        else:
            if is_absent(response):
                return None
            value = value_of(key, response)
            size = _whole_size(response)
            return replace(value, size=size)
    # The part is empty: all other fields are in the answer to HEAD.
    response = yield Request("HEAD", path, is_write=False)
    if is_absent(response):
        return None
    return replace(
        value_of(key, response), data=b"", size=header_number(response, "Content-Length")
    )


def _range(start: int, end: int | None) -> str:
    if start >= 0:
        return f"bytes={start}-" if end is None else f"bytes={start}-{end - 1}"
    if end is None:
        return f"bytes={start}"
    message = "start counts from the end if it is negative; then leave end out"
    raise BadRequest(message)


def _whole_size(response: httpx.Response) -> int:
    """Return the size of the whole value, even if the answer has only a part."""
    if response.status_code != 206:
        return len(response.content)
    size = response.headers.get("Content-Range", "").rpartition("/")[2]
    if size.isdecimal():
        return int(size)
    message = "the answer has no usable Content-Range; is this a Rundlet server?"
    raise ServerError(message)


def head(
    key: str,
    *,
    revision: int | None = None,
    at: datetime | str | None = None,
    version: int | None = None,
) -> Call[KeyInfo | None]:
    """Return the details of a key's value, without its bytes."""
    path = key_path(key) + place_query(revision, at, version)
    response = yield Request("HEAD", path, is_write=False)
    return None if is_absent(response) else info_of(key, response)


def exists(key: str) -> Call[bool]:
    """Return whether a key has a value."""
    response = yield Request("HEAD", key_path(key), is_write=False)
    return not is_absent(response)


def set_value(
    key: str,
    value: bytes | str | FileBody,
    *,
    ttl: float | None = None,
    content_type: str | None = None,
    meta: Mapping[str, str] | None = None,
    demand: Demand = _NO_DEMAND,
) -> Call[Written]:
    """Store a value; the precondition of a file cannot be a revision."""
    data = b"" if isinstance(value, FileBody) else value
    put = replace(put_of(key, data, ttl=ttl, content_type=content_type), meta=meta or {})
    described = metadata_headers(put.meta)
    headers = {"Content-Type": put.content_type, **described, **demand.headers()}
    if demand.if_revision is not None:
        commit = yield from commit_if_revision(put, demand.if_revision)
        return Written(commit.revision, commit.results[0].version or 0)
    query = "" if ttl is None else f"?ttl={ttl:.6f}"
    body = value if isinstance(value, FileBody) else put.value
    response = yield Request("PUT", key_path(key) + query, True, headers, body)
    return Written(
        revision=header_number(response, "KV-Revision"),
        version=header_number(response, "KV-Version"),
        etag=response.headers.get("ETag"),
    )


def delete(key: str, demand: Demand = _NO_DEMAND) -> Call[bool]:
    """Remove a key; return whether it had a value."""
    headers = demand.headers()
    if demand.if_revision is not None:
        commit = yield from commit_if_revision(Delete(key), demand.if_revision)
        return commit.results[0].found is True
    response = yield Request("DELETE", key_path(key), True, headers)
    return not is_absent(response)


def incr(key: str, by: int) -> Call[int]:
    """Add to a number; return the sum."""
    commit = yield from txn([Add(key, by)])
    number = commit.results[0].number
    if number is None:
        message = "the answer to an addition has no number; is this a Rundlet server?"
        raise ServerError(message)
    return number


def touch(key: str, ttl: float | None) -> Call[bool]:
    """Give a key a new time to live; return whether it has a value."""
    try:
        yield from txn([Touch(key, ttl)], conditions=[Condition(key, exists=True)])
    except Conflict:
        return False
    return True


def content_type_of(name: str) -> str:
    """Return the content type for the extension of a file's name."""
    import mimetypes  # noqa: PLC0415 - few programs need it

    return mimetypes.guess_type(name)[0] or DEFAULT_CONTENT_TYPE


def put_of(key: str, value: bytes | str, *, ttl: float | None, content_type: str | None) -> Put:
    """Return the put of bytes, or of text as UTF-8."""
    if isinstance(value, str):
        return Put(key, value.encode(), content_type or TEXT_CONTENT_TYPE, ttl)
    return Put(key, bytes_of(value), content_type or DEFAULT_CONTENT_TYPE, ttl)
