"""The client: one method for each operation of a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from os import PathLike
from typing import NoReturn, Self
from urllib.parse import urlencode

import cbor2
import httpx

from rundlet.answers import fields_of, header_number, next_page_query, page_of, value_of
from rundlet.backups import BackupCalls
from rundlet.errors import BadRequest, Conflict, PreconditionFailed, ServerError
from rundlet.keys import key_bytes, key_path
from rundlet.metadata import metadata_headers
from rundlet.model import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    Commit,
    Condition,
    Delete,
    KeyInfo,
    Op,
    Put,
    Value,
    Written,
)
from rundlet.past import PastCalls, place_query, time_text
from rundlet.transfers import TransferCalls
from rundlet.transport import Request, Transport
from rundlet.watching import WatchCalls
from rundlet.wire import (
    ACCEPTED_TYPES,
    CBOR_TYPE,
    Fields,
    decode_commit,
    decode_item,
    encode_txn,
)

DEFAULT_URL = "http://127.0.0.1:8000"
_PAGE_KEYS = 1_000


class Client(BackupCalls, PastCalls, TransferCalls, WatchCalls):
    """A connection to a Rundlet server; may be used by many threads, and as a context manager.

    A process that is forked may use its parent's client: it opens connections of its own.

    Every method raises ``ConnectionFailed``, ``Unavailable``, ``Unauthorized``, ``Forbidden``
    and ``ServerError`` of ``rundlet.errors``; writes also raise ``OutcomeUnknown``. Any key that
    is not empty works: the client sends a key that proxies would rewrite in another form.

    Args:
        url: address of the server, ``http://HOST:PORT``, with a path if a proxy needs one.
        token: sent as ``Authorization: Bearer``.
        timeout_s: for connecting, and for each pause in an answer.
        retries: how often a request is sent again, if that cannot apply it twice.
        ca_file: PEM file of the authority that signed the server's certificate; by default
            ``SSL_CERT_FILE``, or the authorities that httpx trusts.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 3,
        ca_file: str | PathLike[str] | None = None,
    ) -> None:
        self._transport = Transport(
            url, token=token, timeout_s=timeout_s, retries=retries, ca_file=ca_file
        )

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._transport.base_url

    def url_of(self, key: str, *, is_prefix: bool = False) -> str:
        """Return the address of a key's value, or of the list of keys under a prefix."""
        if is_prefix:
            return f"{self.url}/v1/keys?{urlencode({'prefix': key})}"
        return self.url + key_path(key)

    # --- one value -------------------------------------------------------------------------

    def get(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> Value | None:
        """Return the value of a key, now or as it was; ``None`` if it has none.

        Args:
            key: which key.
            revision: as of this revision; it, ``at`` and ``version`` exclude each other.
            at: as of this time; text is in the form of RFC 3339.
            version: this write of the key since it was last created.

        Raises:
            Compacted: that is no longer kept.
        """
        query = place_query(revision, at, version)
        response = self._transport.send(Request("GET", key_path(key) + query, is_write=False))
        return None if response is None else value_of(key, response)

    def get_bytes(self, key: str) -> bytes | None:
        """Return the bytes of a key's value; ``None`` if it has none."""
        value = self.get(key)
        return None if value is None else value.data

    def set(
        self,
        key: str,
        value: bytes | str,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_revision: int | None = None,
        if_match: str | None = None,
    ) -> Written:
        """Store a value.

        Args:
            key: any text that is not empty.
            value: bytes, or text to be stored as UTF-8.
            ttl: seconds until the key expires, at most 100 years (3,162,240,000 seconds); without
                it, the key does not expire.
            content_type: default ``application/octet-stream``, for text ``text/plain``.
            meta: metadata to store with it, at most 16 texts by name and 2 KiB in all. Names have
                letters, digits and ``-``, and come back in lower case.
            if_absent: only if the key has no value yet.
            if_revision: only if the key's revision is still this one.
            if_match: only if the value's ETag is still this one.

        Raises:
            PreconditionFailed: the key does not meet the condition; nothing was changed.
            TooLarge: the key or the value is larger than the server allows.
            ReadOnly: this server takes no writes.
        """
        _at_most_one(if_absent, if_revision is not None, if_match is not None)
        put = replace(_put(key, value, ttl=ttl, content_type=content_type), meta=meta or {})
        if if_revision is not None:
            commit = self._commit_if_revision(put, if_revision)
            return Written(commit.revision, commit.results[0].version or 0)
        headers = {"Content-Type": put.content_type, **metadata_headers(put.meta)}
        if if_absent:
            headers["If-None-Match"] = "*"
        if if_match is not None:
            headers["If-Match"] = if_match
        query = "" if ttl is None else f"?ttl={ttl:.6f}"
        response = self._send(Request("PUT", key_path(key) + query, True, headers, put.value))
        return Written(
            revision=header_number(response, "KV-Revision"),
            version=header_number(response, "KV-Version"),
            etag=response.headers.get("ETag"),
        )

    def delete(
        self, key: str, *, if_revision: int | None = None, if_match: str | None = None
    ) -> bool:
        """Remove a key; return false if it had no value.

        Raises:
            PreconditionFailed: the key does not meet the condition; nothing was changed.
            ReadOnly: this server takes no writes.
        """
        _at_most_one(if_revision is not None, if_match is not None)
        if if_revision is not None:
            return self._commit_if_revision(Delete(key), if_revision).results[0].found is True
        headers = {} if if_match is None else {"If-Match": if_match}
        return self._transport.send(Request("DELETE", key_path(key), True, headers)) is not None

    def incr(self, key: str, by: int = 1) -> int:
        """Add to a value that is decimal text, and return the sum; a missing key counts as 0.

        Raises:
            BadRequest: the value is not decimal text.
        """
        number = self.txn([Add(key, by)]).results[0].number
        if number is None:
            message = "the answer to an addition has no number; is this a Rundlet server?"
            raise ServerError(message)
        return number

    # --- many values -----------------------------------------------------------------------

    def mget(
        self, keys: Sequence[str], *, revision: int | None = None, at: datetime | str | None = None
    ) -> list[Value | None]:
        """Return the values of many keys from one snapshot, in the order of ``keys``.

        ``revision`` and ``at`` as in ``get``.
        """
        for key in keys:
            key_bytes(key)
        body: dict[str, object] = {"keys": list(keys)}
        if revision is not None:
            body["rev"] = revision
        if at is not None:
            body["at"] = time_text(at)
        answer = self._post("/v1/mget", cbor2.dumps(body), is_write=False)
        return [decode_item(item) for item in answer.rows("items")]

    def txn(
        self,
        then: Sequence[Op],
        *,
        conditions: Sequence[Condition] = (),
        otherwise: Sequence[Op] | None = None,
    ) -> Commit:
        """Do many writes, all or none, at one revision.

        Args:
            then: done if every condition holds; each key at most once.
            conditions: what must hold at the moment of the commit.
            otherwise: done if a condition fails.

        Raises:
            Conflict: a condition failed and there is no ``otherwise``.
            BadRequest: an operation cannot be done; the message names its index.
            TooLarge: more operations or bytes than the server allows.
            ReadOnly: this server takes no writes.
        """
        for item in (*then, *conditions, *(otherwise or ())):
            key_bytes(item.key)
        body = encode_txn(then, conditions, otherwise)
        return decode_commit(self._post("/v1/txn", body, is_write=True))

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        delimiter: str | None = None,
        values: bool = False,
        meta: bool = False,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> Iterator[KeyInfo]:
        """Yield keys in the order of their UTF-8 bytes, page by page, all of one snapshot.

        Args:
            prefix: only keys that start with this.
            start: only keys >= this.
            end: only keys < this.
            limit: the most keys and prefixes in all.
            reverse: descending order.
            delimiter: yield the keys that share the text up to its first occurrence after the
                prefix as one prefix.
            values: with the values.
            meta: with metadata.
            revision: as of this revision; by default the newest when the first page is read.
            at: as of this time, instead of a revision.

        Raises:
            Compacted: compaction removed the snapshot while it was being read.
        """
        options: dict[str, str | int | None] = {
            "prefix": prefix or None,
            "start": start,
            "end": end,
            # The server's page size is the default; only a shorter list needs a limit.
            "limit": limit if limit is not None and limit < _PAGE_KEYS else None,
            "reverse": "true" if reverse else None,
            "delimiter": delimiter,
            "include": ",".join(["value"] * values + ["meta"] * meta) or None,
            "rev": revision,
            "at": None if at is None else time_text(at),
        }
        query = urlencode({name: given for name, given in options.items() if given is not None})
        return self._scan_pages(query, limit=limit, reverse=reverse, values=values)

    # --- the server ------------------------------------------------------------------------

    def info(self) -> dict[str, object]:
        """Return the service document: versions, backend, store id, head revision, limits."""
        return self._read("/v1").as_dict()

    def stats(self) -> dict[str, object]:
        """Return counts of the store and the server, by name."""
        return self._read("/v1/stats").as_dict()

    def compact(self) -> None:
        """Start a compaction in the background, and return at once.

        Raises:
            ReadOnly: there is nothing to compact.
        """
        self._send(Request("POST", "/v1/admin/compact", is_write=True))

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: that would write the token down."""
        message = (
            "a Client cannot be sent to another process; send its url, and make a Client there"
        )
        raise TypeError(message)

    # --- helpers ---------------------------------------------------------------------------

    def _scan_pages(
        self, query: str, *, limit: int | None, reverse: bool, values: bool
    ) -> Iterator[KeyInfo]:
        left = limit
        next_query: str | None = query
        while next_query is not None and left != 0:
            headers = {"Accept": ACCEPTED_TYPES}
            response = self._send(Request("GET", f"/v1/keys?{next_query}", False, headers))
            page = page_of(response, reverse=reverse, values=values)
            yield from page[:left]
            if left is not None:
                left = max(0, left - len(page))
            next_query = next_page_query(response)

    def _commit_if_revision(self, op: Op, revision: int) -> Commit:
        # Preconditions over HTTP are ETags; only a transaction can demand a revision.
        try:
            return self.txn([op], conditions=[Condition(op.key, revision=revision)])
        except Conflict as ex:
            current = ex.failed[0].revision if ex.failed else 0
            raise PreconditionFailed(str(ex), revision=current) from ex

    def _read(self, path: str) -> Fields:
        return fields_of(self._send(Request("GET", path, is_write=False)))

    def _post(self, path: str, body: bytes, *, is_write: bool) -> Fields:
        headers = {"Content-Type": CBOR_TYPE, "Accept": ACCEPTED_TYPES}
        return fields_of(self._send(Request("POST", path, is_write, headers, body)))

    def _send_or_none(self, request: Request) -> httpx.Response | None:
        return self._transport.send(request)

    def _stream(self, request: Request) -> AbstractContextManager[httpx.Response]:
        return self._transport.stream(request)

    def _send(self, request: Request) -> httpx.Response:
        response = self._transport.send(request)
        if response is None:
            message = f"{self.url} knows no {request.path}; is it an older Rundlet server?"
            raise ServerError(message)
        return response


def _put(key: str, value: bytes | str, *, ttl: float | None, content_type: str | None) -> Put:
    if isinstance(value, str):
        return Put(key, value.encode(), content_type or TEXT_CONTENT_TYPE, ttl)
    return Put(key, value, content_type or DEFAULT_CONTENT_TYPE, ttl)


def _at_most_one(*demands: bool) -> None:
    if sum(demands) > 1:
        message = "give at most one of if_absent, if_revision and if_match"
        raise BadRequest(message)
