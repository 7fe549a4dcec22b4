"""Plain PUTs and DELETEs of values, answered without Falcon by a server with an event loop.

A PUT or DELETE of ``/v1/kv/{key}`` or ``/v1/kv64/{key}`` is plain if it has only headers that
``PlainWrites`` knows (``_KNOWN``), a small body or none, and no query but a time to live. Falcon
and a greenlet would take more than a third of its time. ``PlainWrites`` answers it with the same
parts as the Falcon route does. Falcon answers all other writes, and plain ones that
are not admitted. Both send the same bytes and store the same; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final, NamedTuple

from rundlet_server.functions.access.admission import Access, note_revision
from rundlet_server.functions.messages.content_types import require_header_safe
from rundlet_server.functions.messages.query import plain_ttl_s
from rundlet_server.functions.messages.target import VALUE_ROUTES
from rundlet_server.functions.messages.validators import EntityTags, precondition_failed
from rundlet_server.functions.monitoring.audit import AuditTrail
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.quick import QUICK_WRITES, AsgiAnswer, CountRequest
from rundlet_server.functions.plain.requests import (
    PLAIN_HEADERS,
    SMALL_BYTES,
    environ_of,
    host_of,
    plain_fields,
    plain_size,
    spelled,
)
from rundlet_server.functions.problems import ErrorAnswers, Problem
from rundlet_server.functions.route_table import Route, Rule, base_size
from rundlet_server.functions.routes.values import not_found
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT
from rundlet_server.storage.errors import Conflict
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    Condition,
    Delete,
    Put,
    Txn,
)
from rundlet_server.storage.outcomes.results import Commit

_READ: Final = spelled("host", "authorization", "if-match", "if-none-match")
"""Headers that decide the answer."""
_KNOWN: Final = PLAIN_HEADERS.union(name for name, _ in _READ)

_CREATED: Final = "201 Created"
_NO_CONTENT: Final = "204 No Content"
_EMPTY_TEXT: Final = ((b"content-length", b"0"), (b"content-type", b"text/plain"))


class _Way(NamedTuple):
    """How to answer the requests of one route and method.

    Attributes:
        route: the requested route.
        rule: the rule of the method.
        label: the value of ``routing.ROUTE``.
        is_delete: the method is DELETE; otherwise it is PUT.
        decode_key: decodes a key, given the rest of the path and the maximum size of a key.
    """

    route: Route
    rule: Rule
    label: str
    is_delete: bool
    decode_key: Callable[[str, int], str]


_WAYS: Final = {
    method: {
        route.base: _Way(
            route, route.rules[method], f"{route.template} {method}", method == "DELETE", decode_key
        )
        for route, decode_key in VALUE_ROUTES
    }
    for method in QUICK_WRITES
}


class PlainWrites:
    """Answers plain PUTs and DELETEs."""

    def __init__(
        self,
        store: CountedStore,
        access: Access | None,
        errors: ErrorAnswers,
        count: CountRequest,
        *,
        trail: AuditTrail | None = None,
        last_headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Answer from a store; ``trail`` records requests, the rest is as for ``PlainGets``."""
        self.store = store
        self.access = access
        self.errors = errors
        self.count = count
        self.trail = trail
        self.tags = EntityTags(store.info.store_id)
        self.last_headers = [(name.encode(), text.encode()) for name, text in last_headers]
        limits = store.info.limits
        self._size_max = min(SMALL_BYTES, limits.value_bytes_max)
        self._key_bytes_max = limits.key_bytes_max

    def begin(
        self,
        method: str,
        raw_path: bytes,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        client: str,
    ) -> PlainWrite | None:
        """See ``QuickWrites``."""
        fields = None if self.store.read_only else plain_fields(headers, _KNOWN)
        if fields is None:
            return None
        if not raw_path.isascii() or b"#" in raw_path:
            return None
        path = raw_path.decode()
        base = base_size(path)
        way = _WAYS[method].get(path[:base])
        if way is None:
            return None
        environ = environ_of(method, fields, _READ)
        environ |= {"REQUEST_URI": path, "REMOTE_ADDR": client}
        try:
            key_bytes_max = KEY_BYTES_LIMIT if way.is_delete else self._key_bytes_max
            key = way.decode_key(path[base:], key_bytes_max)
            write = PlainWrite(self, way, environ, key)
            write.conditions = self.tags.write_conditions(environ, key)
            return write if self._is_complete(write, query, fields) else None
        except Problem:
            return None

    def record(self, lines: Sequence[str]) -> None:
        """See ``QuickWrites``."""
        assert self.trail is not None, "it made the lines"
        self.trail.write(lines)

    def _is_complete(self, write: PlainWrite, query: bytes, fields: dict[bytes, bytes]) -> bool:
        """Read the query, content type and size of a PUT; return whether the write is plain."""
        if write.way.is_delete:
            return not query and fields.get(b"content-length", b"0") == b"0"
        if query:
            write.ttl_s = plain_ttl_s(query)
            if write.ttl_s is None:
                return False
        if b"content-type" in fields:
            content_type = fields[b"content-type"].decode("latin-1")
            require_header_safe(content_type)
            write.content_type = content_type or DEFAULT_CONTENT_TYPE
        write.size = plain_size(fields)
        return 0 < write.size <= self._size_max


class PlainWrite:
    """A plain PUT or DELETE; see ``QuickWrite``.

    Attributes:
        way: how it is answered.
        key: of the value.
        size: of the body.
        ttl_s: of the value; ``None`` if it does not expire.
        content_type: of the value.
        conditions: the preconditions of the write.
        line: see ``QuickWrite``.
    """

    __slots__ = (
        *("_environ", "_kind", "_sent_bytes", "_started_ns", "_writes"),
        *("conditions", "content_type", "key", "line", "size", "ttl_s", "way"),
    )

    def __init__(
        self, writes: PlainWrites, way: _Way, environ: dict[str, object], key: str
    ) -> None:
        self._writes = writes
        self._environ = environ
        self._started_ns = 0
        self.way = way
        self.key = key
        self.size = 0
        self.ttl_s: float | None = None
        self.content_type = DEFAULT_CONTENT_TYPE
        self.conditions: list[Condition] = []
        self.line: str | None = None

    def txn(self, value: bytes) -> Txn | None:
        """See ``QuickWrite``."""
        self._started_ns = perf_counter_ns()
        environ, way, access = self._environ, self.way, self._writes.access
        if not host_of(environ):
            return None
        if access is not None and not access.admits(environ, way.route, way.rule, (self.key,)):
            return None
        if way.is_delete:
            return Txn([Delete(self.key)], self.conditions)
        return Txn([Put(self.key, value, self.content_type, self.ttl_s)], self.conditions)

    def answer(self, outcome: Commit | Exception) -> AsgiAnswer:
        """See ``QuickWrite``."""
        writes, environ = self._writes, self._environ
        if isinstance(outcome, Commit):
            writes.store.counters.add("delete" if self.way.is_delete else "set")
            status, headers, body = self._done(outcome)
        else:
            status, headers, body = self._failed(self._told(outcome))
        headers += writes.last_headers
        if writes.trail is not None:
            made = writes.trail.line_of(environ, int(status[:3]))
            if made is not None:
                request_id, self.line = made
                shown_id = (b"request-id", request_id.encode())
                headers += [] if shown_id in headers else [shown_id]
        if status == _CREATED:
            headers += _EMPTY_TEXT
        elif status != _NO_CONTENT:
            headers.append((b"content-length", b"%d" % len(body)))
        self._kind, self._sent_bytes = (self.way.label, status), len(body)
        return int(status[:3]), headers, body

    def count(self) -> None:
        """See ``QuickWrite``."""
        elapsed_ns = perf_counter_ns() - self._started_ns
        self._writes.count(
            self._environ, self._kind, elapsed_ns, self._sent_bytes, received_bytes=self.size
        )

    def _done(self, commit: Commit) -> tuple[str, list[tuple[bytes, bytes]], bytes]:
        result, revision = commit.results[0], commit.revision
        shown = b"%d" % revision
        if self.way.is_delete:
            if not result.found:
                return self._failed(not_found(self.key))
            note_revision(self._environ, revision)
            return _NO_CONTENT, [(b"kv-revision", shown)], b""
        note_revision(self._environ, revision)
        headers = [
            (b"etag", self._writes.tags.tag(revision).encode()),
            (b"kv-revision", shown),
            (b"kv-version", b"%d" % result.version),
        ]
        return _NO_CONTENT if result.found else _CREATED, headers, b""

    def _told(self, ex: Exception) -> Exception:
        """Return the exception to answer with: a conflict becomes 404 or 412."""
        if not isinstance(ex, Conflict):
            return ex
        revision = ex.failed[0].revision
        if self.way.is_delete and revision == 0:
            return not_found(self.key)
        return precondition_failed(self._environ, revision)

    def _failed(self, ex: Exception) -> tuple[str, list[tuple[bytes, bytes]], bytes]:
        status, named, body = self._writes.errors.made(self._environ, ex)
        headers = [(name.lower().encode(), text.encode()) for name, text in named.items()]
        return status, headers, body
