"""Plain PUTs of values, answered without Falcon by a server with an event loop.

A PUT of ``/v1/kv/{key}`` or ``/v1/kv64/{key}`` is plain if it has a small body, no query but a time
to live, and only headers that do not change what it does, and if there is no token.
Falcon and a greenlet would take more than a third of its time. ``PlainPuts`` answers it with the
same parts as the Falcon route does, which answers all others. Either way the answer is the same to
the byte, and so is what is stored; a test compares both.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Final

from rundlet_server.functions.access.admission import Access
from rundlet_server.functions.messages.bodies import SMALL_BYTES, plain_fields, plain_size
from rundlet_server.functions.messages.content_types import require_header_safe
from rundlet_server.functions.messages.query import plain_ttl_s
from rundlet_server.functions.messages.target import key_from_base64url, key_from_path
from rundlet_server.functions.messages.validators import EntityTags
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.measures import AsgiAnswer, CountRequest
from rundlet_server.functions.problems import ErrorAnswers, Problem
from rundlet_server.functions.route_table import KV, KV64
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Put, Txn
from rundlet_server.storage.outcomes.results import Commit

_BASE_FROM: Final = len("/v1/")
"""The name of a route ends at the first slash from here on."""
_WAYS: Final = {
    route.base.encode(): (f"{route.template} PUT", decode_key)
    for route, decode_key in ((KV, key_from_path), (KV64, key_from_base64url))
}


class PlainPuts:
    """Answers plain PUTs."""

    def __init__(
        self,
        store: CountedStore,
        access: Access | None,
        errors: ErrorAnswers,
        count: CountRequest,
        *,
        last_headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Answer from a store; the arguments are those of ``PlainGets``."""
        self.store = store
        self.errors = errors
        self.count = count
        self.access = access
        self.tags = EntityTags(store.info.store_id)
        self.last_headers = [(name.encode(), text.encode()) for name, text in last_headers]
        limits = store.info.limits
        self._size_max = 0 if store.read_only else min(SMALL_BYTES, limits.value_bytes_max)
        self.key_bytes_max = limits.key_bytes_max

    def begin(
        self, raw_path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> PlainPut | None:
        """See ``QuickPuts``."""
        ttl_s = plain_ttl_s(query) if query else None
        if query and ttl_s is None:
            return None
        fields = plain_fields(headers)
        if fields is None:
            return None
        base_size = raw_path.find(b"/", _BASE_FROM) + 1
        way = _WAYS.get(raw_path[:base_size])
        if way is None or not raw_path.isascii() or b"#" in raw_path:
            return None
        size = plain_size(fields)
        if not 0 < size <= self._size_max:
            return None
        label, decode_key = way
        put = PlainPut(self, label, fields, size, ttl_s)
        try:
            put.key = decode_key(raw_path[base_size:].decode(), self.key_bytes_max)
            require_header_safe(put.content_type)
        except Problem:
            return None
        return put


class PlainPut:
    """A plain PUT; see ``QuickPut``.

    Attributes:
        size: of the body.
        key: of the value.
        content_type: of the value.
    """

    __slots__ = ("_host", "_label", "_puts", "_started_ns", "_ttl_s", "content_type", "key", "size")

    def __init__(
        self,
        puts: PlainPuts,
        label: str,
        fields: dict[bytes, bytes],
        size: int,
        ttl_s: float | None,
    ) -> None:
        self._puts = puts
        self._label = label
        self._host = fields.get(b"host", b"").decode("latin-1")
        self._started_ns = 0
        self._ttl_s = ttl_s
        self.size = size
        self.key = ""
        self.content_type = (
            fields.get(b"content-type", b"").decode("latin-1") or DEFAULT_CONTENT_TYPE
        )

    def txn(self, value: bytes) -> Txn | None:
        """See ``QuickPut``."""
        self._started_ns = perf_counter_ns()
        host, access = self._host, self._puts.access
        if not host or "," in host or not (access is None or access.admits_all(host)):
            return None
        return Txn([Put(self.key, value, self.content_type, self._ttl_s)])

    def answer(self, outcome: Commit | Exception) -> AsgiAnswer:
        """See ``QuickPut``."""
        puts = self._puts
        environ: dict[str, object] = {"REQUEST_METHOD": "PUT"}
        if isinstance(outcome, Commit):
            puts.store.counters.add("set")
            status, headers, body = self._stored(outcome)
        else:
            status, named, body = puts.errors.made(environ, outcome)
            headers = [(name.lower().encode(), text.encode()) for name, text in named.items()]
            headers += [*puts.last_headers, (b"content-length", str(len(body)).encode())]
        elapsed_ns = perf_counter_ns() - self._started_ns
        puts.count(environ, (self._label, status), elapsed_ns, len(body), received_bytes=self.size)
        return int(status[:3]), headers, body

    def _stored(self, commit: Commit) -> tuple[str, list[tuple[bytes, bytes]], bytes]:
        puts, revision, result = self._puts, commit.revision, commit.results[0]
        headers = [
            (b"etag", puts.tags.tag(revision).encode()),
            (b"kv-revision", b"%d" % revision),
            (b"kv-version", b"%d" % result.version),
            *puts.last_headers,
        ]
        if result.found:
            return "204 No Content", headers, b""
        headers += _CREATED
        return "201 Created", headers, b""


_CREATED: Final = ((b"content-length", b"0"), (b"content-type", b"text/plain"))
