"""``/v1/kv/{key}`` and ``/v1/kv64/{key}``: one value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import falcon

from rundlet_server.functions.access.admission import note_revision, require_keys
from rundlet_server.functions.access.idempotency import idempotency_of, mark_replay
from rundlet_server.functions.feeds.stream import Source
from rundlet_server.functions.feeds.waiting import Waited, waited_for
from rundlet_server.functions.messages.bodies import read_body
from rundlet_server.functions.messages.content_types import content_type_given
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.moments import asked_at
from rundlet_server.functions.messages.query import Query, bad_query
from rundlet_server.functions.messages.ranges import range_of
from rundlet_server.functions.messages.validators import (
    EntityTags,
    Found,
    has_unmodified_since,
    precondition_failed,
    unmodified_condition,
)
from rundlet_server.functions.metadata import metadata_given
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import KEYS
from rundlet_server.functions.routes.value_headers import ValueHeaders
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT
from rundlet_server.storage.errors import Conflict
from rundlet_server.storage.interface import (
    Condition,
    Delete,
    Op,
    Put,
    Txn,
)
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.timeline import Changes

_LOOK_EVERY_S: Final = 1.0
"""How often a request that waits looks at a value with an expiry, as the log has it only later."""


class ValueResource:
    """One value. The two routes differ in ``decode_key``: (rest of the path, size) → key."""

    def __init__(
        self,
        store: CountedStore,
        gates: Gates,
        tags: EntityTags,
        source: Source,
        decode_key: Callable[[str, int], str],
    ) -> None:
        self._store = store
        self._sending = gates.sending
        self._tags = tags
        self._headers = ValueHeaders(tags, str)
        self._source = source
        self._decode_key = decode_key
        self._limits = store.info.limits

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Send the value, a range of it, or 304."""
        found = self._found(req, resp, key)
        if found is None:
            return
        size = size_of(found)
        wanted = self._wanted(req, found, size)
        first, last = wanted or (0, size - 1)
        if isinstance(found, LargeValue):
            with self._sending.hold() as hold:
                hold.send_value(req, resp, found.pieces, first=first, size=last + 1 - first)
        else:
            resp.data = found.value[first : last + 1]
        # Only now: a request that fails before gets an answer without these headers.
        resp.set_headers(self._headers.of_value(found))
        if wanted is not None:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {first}-{last}/{size}")

    def on_head(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Answer as GET does, without the value; a range is ignored."""
        found = self._found(req, resp, key)
        if found is not None:
            resp.set_headers(self._headers.of_value(found))
            resp.content_length = size_of(found)

    def on_put(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Store the body."""
        name = self._key(req, key, self._limits.key_bytes_max)
        self._store.require_writable()
        ttl_s = Query(req, "ttl").ttl_s("ttl")
        _require_whole_value(req)
        content_type = content_type_given(req)
        metadata = metadata_given(req.env)
        conditions = self._tags.write_conditions(req.env, name)
        value = read_body(req, "value_bytes_max", self._limits.value_bytes_max)
        repeat = idempotency_of(req, self._store.idempotency_s, name, value)
        put = Put(name, value, content_type, ttl_s, metadata=metadata)
        commit = self._commit(req, put, conditions, repeat)
        note_revision(req.env, commit.revision)
        mark_replay(resp, is_replay=commit.is_replay)
        result = commit.results[0]
        resp.status = 204 if result.found else 201
        resp.set_headers(
            (
                ("etag", self._tags.tag(commit.revision)),
                ("kv-revision", str(commit.revision)),
                ("kv-version", str(result.version)),
            )
        )

    def on_delete(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Remove the value."""
        name = self._key(req, key, KEY_BYTES_LIMIT)
        self._store.require_writable()
        Query(req)
        conditions = self._tags.write_conditions(req.env, name)
        repeat = idempotency_of(req, self._store.idempotency_s, name)
        commit = self._commit(req, Delete(name), conditions, repeat)
        if not commit.results[0].found:
            raise not_found(name)
        note_revision(req.env, commit.revision)
        mark_replay(resp, is_replay=commit.is_replay)
        resp.status = 204
        resp.set_header("KV-Revision", str(commit.revision))

    def _key(self, req: falcon.Request, encoded: str, key_bytes_max: int) -> str:
        """Return the key of a request, if the caller's token covers it.

        A read or a deletion may name a key that is longer than the current limit; the store then
        decides whether it has the key.
        """
        key = self._decode_key(encoded, key_bytes_max)
        require_keys(req.env, (key,))
        return key

    def _found(self, req: falcon.Request, resp: falcon.Response, key: str) -> Found | None:
        """Return the value; ``None`` if a precondition decided the answer."""
        name = self._key(req, key, KEY_BYTES_LIMIT)
        entry = self._read(req, name) if req.query_string else self._store.peek(name)
        if entry is None:
            raise not_found(name)
        status = self._tags.read_condition_fails(req, entry)
        if status == 304 and not req.query_string and "HTTP_PREFER" in req.env:
            entry = self._wait(req, resp, entry)
            status = self._tags.read_condition_fails(req, entry)
        if status == 412:
            raise precondition_failed(req.env, entry.revision)
        if status == 304:
            resp.status = 304
            resp.set_headers(self._headers.of_unchanged(entry))
            return None
        return entry

    def _wait(self, req: falcon.Request, resp: falcon.Response, entry: Found) -> Found:
        """Wait up to the N seconds of ``Prefer: wait=N`` for a value that the client does not have.

        Raises:
            Problem: 404 with ``Preference-Applied``: the key was deleted meanwhile.
        """
        wait_s = waited_for(req.env["HTTP_PREFER"], self._source.wait_s_max)
        if not wait_s or "HTTP_IF_NONE_MATCH" not in req.env:
            return entry
        applied = {"Preference-Applied": f"wait={wait_s}"}
        name, found = entry.key, entry
        since = self._store.head_revision()

        def is_another(changes: Changes | None = None) -> bool:
            nonlocal found
            if changes is not None and not changes.events and found.expires_us is None:
                return False
            latest = self._store.peek_uncounted(name)
            if latest is None:
                raise not_found(name, applied)
            found = latest
            return self._tags.read_condition_fails(req, found) != 304

        if not is_another():  # the value may have changed before the head was read
            with self._source.places.taken():
                often_s = math.inf if entry.expires_us is None else _LOOK_EVERY_S
                waited = Waited(name, since, wait_s, often_s)
                self._source.waiting.until(req.env, waited, is_another)
        resp.set_headers(applied)
        return found

    def _read(self, req: falcon.Request, key: str) -> Found | None:
        """Return the value of a key at the revision, time or version in the query."""
        query = Query(req, "rev", "at", "version")
        version = query.version("version")
        at = asked_at(query, self._store.moment)
        if version is None:
            return self._store.peek(key, at=at)
        if at is not None:
            raise bad_query("'version' excludes 'rev' and 'at'; send one of them")
        return self._store.get_version(key, version)

    def _wanted(self, req: falcon.Request, found: Found, size: int) -> tuple[int, int] | None:
        """Return the first and last byte of a range; ``None`` to send the whole value."""
        header = req.env.get("HTTP_RANGE")
        if header is None or not self._tags.range_applies(req, found):
            return None
        return range_of(header, size)

    def _commit(
        self,
        req: falcon.Request,
        op: Op,
        conditions: list[Condition],
        idempotency: Idempotency | None,
    ) -> Commit:
        if has_unmodified_since(req):
            try:
                held = unmodified_condition(req, self._store.peek(op.key))
            except Problem:
                # This request may itself have modified the value when it was sent before.
                done = self._store.commit(Txn([], idempotency=idempotency))
                if not done.is_replay:
                    raise
                return done
            conditions += [held] if held else []
        try:
            return self._store.commit(Txn([op], conditions, idempotency=idempotency))
        except Conflict as ex:
            revision = ex.failed[0].revision
            if isinstance(op, Delete) and revision == 0:
                # RFC 9110, 13.2.1: preconditions are ignored if the answer without them would not
                # be a success.
                raise not_found(op.key) from ex
            raise precondition_failed(req.env, revision) from ex


def size_of(found: Found) -> int:
    """Return the size of a value in bytes."""
    return found.size if isinstance(found, LargeValue) else len(found.value)


def _require_whole_value(req: falcon.Request) -> None:
    """Refuse a PUT of a part of a value."""
    if "HTTP_CONTENT_RANGE" in req.env:
        detail = (
            "the server does not write parts of values; send the whole value without Content-Range"
        )
        raise Problem(400, "partial-put", detail)


def not_found(key: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the answer to a request for a key without a value."""
    shown = key if len(key) <= 100 else key[:100] + "…"
    return Problem(
        404,
        "not-found",
        f"there is no value for the key {shown!r}; {KEYS.path} lists the keys that have one",
        headers=headers,
    )
