"""Plain GETs and HEADs of values, and ``/livez``, answered without Falcon.

A GET or HEAD of ``/v1/kv/{key}``, ``/v1/kv64/{key}`` or ``/livez`` is plain if it has no query, no
range, no body and no condition, except for ``If-None-Match``. ``PlainGets`` answers them with the
same parts as the Falcon routes do: it decodes the key, admits the request, reads the store and
makes the headers. It returns ``None`` for every request that is not plain, is not admitted, would
send a large value or may wait for a disk; then Falcon answers it. Both give the same bytes; a test
compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, NamedTuple

from rundlet_server.functions.access.admission import Access
from rundlet_server.functions.messages.target import (
    VALUE_ROUTES,
    raw_path,
)
from rundlet_server.functions.messages.validators import EntityTags, Found
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.quick import QUICK_METHODS, AsgiAnswer, Kind, PlainAnswer
from rundlet_server.functions.plain.requests import environ_of, host_of, spelled
from rundlet_server.functions.problems import ErrorAnswers, Problem
from rundlet_server.functions.route_table import LIVEZ, Route, Rule, base_size
from rundlet_server.functions.routes.service import LIVE_BODY, LIVE_HEADERS
from rundlet_server.functions.routes.value_headers import Text, ValueHeaders
from rundlet_server.functions.routes.values import not_found, size_of
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT
from rundlet_server.storage.large_values import LargeValue

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_FALCON: Final = (
    *("if-match", "if-modified-since", "if-unmodified-since"),
    *("range", "prefer", "origin", "transfer-encoding"),
)
"""Headers of requests that Falcon answers, besides those with a body."""
_FALCON_WSGI: Final = tuple(name for _, name in spelled(*_FALCON))
_READ: Final = spelled("host", "authorization", "if-none-match")
"""Headers that decide the answer."""
_FALCON_ASGI: Final = frozenset(name.encode() for name in (*_FALCON, "content-length"))


class _Way(NamedTuple):
    """How to answer the requests of one route and method.

    Attributes:
        route: the requested route.
        rule: the rule of the method.
        label: the value of ``routing.ROUTE``.
        is_bare: the method is HEAD, so no answer has a body.
        ok: the counter of requests that are answered with 200.
        unchanged: the counter of requests that are answered with 304.
        decode_key: decodes a key, given the rest of the path and the maximum size of a key.
    """

    route: Route
    rule: Rule
    label: str
    is_bare: bool
    ok: Kind
    unchanged: Kind
    decode_key: Callable[[str, int], str]


def _way(route: Route, method: str, decode_key: Callable[[str, int], str]) -> _Way:
    label = f"{route.template} {method}"
    ok, unchanged = (label, "200 OK"), (label, "304 Not Modified")
    return _Way(route, route.rules[method], label, method == "HEAD", ok, unchanged, decode_key)


_WAYS: Final = {
    method: {route.base: _way(route, method, decode_key) for route, decode_key in VALUE_ROUTES}
    for method in QUICK_METHODS
}


class PlainGets:
    """Answers plain GETs and HEADs. Any thread may call it."""

    def __init__(
        self,
        store: CountedStore,
        access: Access | None,
        errors: ErrorAnswers,
        count: Callable[[dict[str, object], Kind, int, int], None],
        *,
        last_headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Answer from a store.

        Args:
            store: the values.
            access: admits requests; without it every request is admitted.
            errors: answers for values that are missing or cannot be read.
            count: counts the requests that ``answer_asgi`` answers, as ``MeasuredApp.count`` does.
            last_headers: added to every answer, as the middleware of Falcon does.
        """
        self._store = store
        self._access = access
        self._errors = errors
        self._count = count
        tags = EntityTags(store.info.store_id)
        self._tags = tags
        self._texts = ValueHeaders(tags, str, last=last_headers)
        self._bytes = ValueHeaders(tags, str.encode, last=last_headers)
        self._live_texts = _live_headers(self._texts)
        self._live_bytes = _live_headers(self._bytes)

    def answer(self, environ: WSGIEnvironment) -> PlainAnswer | None:
        """See ``QuickAnswers``."""
        if (
            environ["REQUEST_METHOD"] not in _WAYS
            or environ.get("QUERY_STRING")
            or environ.get("CONTENT_LENGTH")
            or not environ.keys().isdisjoint(_FALCON_WSGI)
        ):
            return None
        return self._answer(environ, raw_path(environ), self._texts, self._live_texts)

    def answer_asgi(
        self, method: str, raw_path: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsgiAnswer | None:
        """See ``QuickAnswers``."""
        started_ns = perf_counter_ns()
        fields = dict(headers)
        if len(fields) != len(headers) or not _FALCON_ASGI.isdisjoint(fields):
            return None
        if not raw_path.isascii() or b"#" in raw_path:
            return None
        environ = environ_of(method, fields, _READ)
        answer = self._answer(environ, raw_path.decode(), self._bytes, self._live_bytes)
        if answer is None:
            return None
        kind, shown, body = answer
        self._count(environ, kind, perf_counter_ns() - started_ns, len(body))
        return int(kind[1][:3]), shown, body

    def _answer(
        self,
        environ: WSGIEnvironment,
        path: str,
        form: ValueHeaders[Text],
        live_headers: list[tuple[Text, Text]],
    ) -> tuple[Kind, list[tuple[Text, Text]], bytes] | None:
        size = base_size(path)
        way = _WAYS[environ["REQUEST_METHOD"]].get(path[:size])
        if way is None:
            return self._live(environ, live_headers) if path == LIVEZ.template else None
        key = self._admitted_key(environ, way, path[size:])
        if key is None:
            return None
        try:
            found = self._store.peek_now(key)
        except BlockingIOError:  # Falcon's route waits for it
            return None
        except Exception as ex:
            return self._failed(environ, way, form, ex)
        if found is not None:
            return self._of_value(environ, way, form, found)
        self._store.counters.add("get")
        return self._failed(environ, way, form, not_found(key))

    def _admitted_key(self, environ: WSGIEnvironment, way: _Way, encoded_key: str) -> str | None:
        """Return the key of a request; ``None`` if Falcon must refuse the request."""
        if not host_of(environ):
            return None
        try:
            key = way.decode_key(encoded_key, KEY_BYTES_LIMIT)
        except Problem:
            return None
        access = self._access
        if access is not None and not access.admits(environ, way.route, way.rule, (key,)):
            return None
        return key

    def _of_value(
        self, environ: WSGIEnvironment, way: _Way, form: ValueHeaders[Text], found: Found
    ) -> tuple[Kind, list[tuple[Text, Text]], bytes] | None:
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known is not None and self._tags.is_known(known, found):
            self._store.counters.add("get")
            return way.unchanged, form.of_unchanged(found) + form.last, b""
        if not _is_header_safe(found.content_type):
            return None
        body = b""
        if way.is_bare:
            headers = [*form.of_value(found), form.of_size(size_of(found)), *form.last]
        elif isinstance(found, LargeValue):
            return None
        else:
            body = found.value
            headers = [*form.of_value(found), *form.last, form.of_size(len(body))]
        self._store.counters.add("get")
        return way.ok, headers, body

    def _failed(
        self, environ: WSGIEnvironment, way: _Way, form: ValueHeaders[Text], ex: Exception
    ) -> tuple[Kind, list[tuple[Text, Text]], bytes]:
        """Return the answer to a request for a value that is missing or cannot be read."""
        status, named, body = self._errors.made(environ, ex)
        headers = [*form.of_others(named.items()), *form.last, form.of_size(len(body))]
        return (way.label, status), headers, b"" if way.is_bare else body

    def _live(
        self, environ: WSGIEnvironment, headers: list[tuple[Text, Text]]
    ) -> tuple[Kind, list[tuple[Text, Text]], bytes] | None:
        host = host_of(environ)
        if not host:
            return None
        if self._access is not None and not self._access.admits_open(host):
            return None
        method = environ["REQUEST_METHOD"]
        kind = (f"{LIVEZ.template} {method}", "200 OK")
        return kind, headers.copy(), b"" if method == "HEAD" else LIVE_BODY


def _live_headers(form: ValueHeaders[Text]) -> list[tuple[Text, Text]]:
    return [*form.of_others(LIVE_HEADERS), *form.last, form.of_size(len(LIVE_BODY))]


def _is_header_safe(content_type: str) -> bool:
    """Return whether a content type is safe in a header; only HTTP checks it before it is stored.

    This is stricter than needed: a tab is safe, but counts as unsafe here.
    """
    return content_type.isascii() and content_type.isprintable()
