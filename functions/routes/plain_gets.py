"""Plain GETs of values, answered without Falcon.

A GET of ``/v1/kv/{key}`` or ``/v1/kv64/{key}`` is plain if it has no query, no range, no body and
no condition, except for one entity tag in ``If-None-Match`` that the value still has. Most requests
are plain, and Falcon's request, response, router and middleware would take more than half of their
time. ``PlainGets`` answers them with the same parts as the Falcon route does: it decodes the key,
admits the request, reads the store and makes the headers. It returns ``None`` for every request
that is not plain, is not admitted, has a large value or may wait for a disk; then Falcon answers
it. Either way the answer is the same to the byte; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, NamedTuple

from rundlet_server.functions.access.admission import Access
from rundlet_server.functions.messages.target import (
    key_from_base64url,
    key_from_path,
    raw_path,
)
from rundlet_server.functions.messages.validators import EntityTags
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.measures import AsgiAnswer, Kind, PlainAnswer
from rundlet_server.functions.problems import ErrorAnswer, ErrorAnswers, Problem
from rundlet_server.functions.route_table import KV, KV64, Route
from rundlet_server.functions.routes.value_headers import Text, ValueHeaders
from rundlet_server.functions.routes.values import not_found
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.large_values import LargeValue

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_FALCON: Final = (
    *("if-match", "if-modified-since", "if-unmodified-since"),
    *("range", "prefer", "origin", "transfer-encoding"),
)
"""Headers of requests that Falcon answers, besides those with a body."""
_FALCON_WSGI: Final = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in _FALCON)
_READ_ASGI: Final = tuple(
    (name.encode(), f"HTTP_{name.upper().replace('-', '_')}")
    for name in ("host", "authorization", "if-none-match")
)
"""Headers that decide the answer, and how WSGI spells them."""
_FALCON_ASGI: Final = frozenset(name.encode() for name in (*_FALCON, "content-length"))

_BASE_FROM: Final = len("/v1/")
"""The name of a route ends at the first slash from here on."""


class _Way(NamedTuple):
    """How the requests of one route are answered.

    Attributes:
        route: its row in the table of routes.
        label: as ``routing.ROUTE`` has it.
        decode_key: makes a key of the rest of the path and the largest size of a key.
        ok: how a request is counted that is answered with a value.
        unchanged: how a request is counted whose client has the value already.
    """

    route: Route
    label: str
    decode_key: Callable[[str, int], str]
    ok: Kind
    unchanged: Kind


def _way(route: Route, decode_key: Callable[[str, int], str]) -> _Way:
    label = f"{route.template} GET"
    return _Way(route, label, decode_key, (label, "200 OK"), (label, "304 Not Modified"))


_WAYS: Final = {
    route.base: _way(route, decode_key)
    for route, decode_key in ((KV, key_from_path), (KV64, key_from_base64url))
}
_WAYS_ASGI: Final = {base.encode(): way for base, way in _WAYS.items()}


class PlainGets:
    """Answers plain GETs. Any thread may call it."""

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

    def answer(self, environ: WSGIEnvironment) -> PlainAnswer | None:
        """See ``QuickAnswers``."""
        if (
            environ["REQUEST_METHOD"] != "GET"
            or environ.get("QUERY_STRING")
            or environ.get("CONTENT_LENGTH")
            or not environ.keys().isdisjoint(_FALCON_WSGI)
        ):
            return None
        path = raw_path(environ)
        size = path.find("/", _BASE_FROM) + 1
        way = _WAYS.get(path[:size])
        return None if way is None else self._answer(environ, way, path[size:], self._texts)

    def answer_asgi(
        self, raw_path: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsgiAnswer | None:
        """See ``QuickAnswers``."""
        started_ns = perf_counter_ns()
        fields = dict(headers)
        if len(fields) != len(headers) or not _FALCON_ASGI.isdisjoint(fields):
            return None
        size = raw_path.find(b"/", _BASE_FROM) + 1
        way = _WAYS_ASGI.get(raw_path[:size])
        if way is None or not raw_path.isascii() or b"#" in raw_path:
            return None
        environ: dict[str, object] = {"REQUEST_METHOD": "GET"}
        for name, spelled in _READ_ASGI:
            if name in fields:
                environ[spelled] = fields[name].decode("latin-1")
        answer = self._answer(environ, way, raw_path[size:].decode(), self._bytes)
        if answer is None:
            return None
        kind, shown, body = answer
        self._count(environ, kind, perf_counter_ns() - started_ns, len(body))
        return int(kind[1][:3]), shown, body

    def _answer(
        self, environ: WSGIEnvironment, way: _Way, encoded_key: str, form: ValueHeaders[Text]
    ) -> tuple[Kind, list[tuple[Text, Text]], bytes] | None:
        known = environ.get("HTTP_IF_NONE_MATCH")
        found = self._found(environ, way, encoded_key, known)
        if found is None:
            return None
        if not isinstance(found, Entry):
            status, named, body = found
            kind = (way.label, status)
            headers = form.of_others(named.items())
        elif known is None:
            kind, headers, body = way.ok, form.of_value(found), found.value
        else:
            return way.unchanged, form.of_unchanged(found) + form.last, b""
        headers += form.last
        headers.append(form.of_size(len(body)))
        return kind, headers, body

    def _found(
        self, environ: WSGIEnvironment, way: _Way, encoded_key: str, known: str | None
    ) -> Entry | ErrorAnswer | None:
        """Return the value of a key, or the answer that there is none; ``None`` for Falcon.

        If the client knows an entity tag, the value is returned only if it still has that tag.
        """
        host, authorization = environ.get("HTTP_HOST"), environ.get("HTTP_AUTHORIZATION")
        if not host or "," in host:
            return None
        try:
            key = way.decode_key(encoded_key, KEY_BYTES_LIMIT)
        except Problem:
            return None
        access = self._access
        if access is not None and not access.admits_read(way.route, key, host, authorization):
            return None
        try:
            found = self._store.peek_now(key)
        except BlockingIOError:  # Falcon's route waits for it
            return None
        except Exception as ex:
            return self._errors.made(environ, ex)
        if isinstance(found, LargeValue) or not self._is_plain(found, known):
            return None
        self._store.counters.add("get")
        return self._errors.made(environ, not_found(key)) if found is None else found

    def _is_plain(self, found: Entry | None, known: str | None) -> bool:
        if found is None:
            return True
        if known is not None and known != self._tags.tag(found.revision):
            return False
        return _is_header_safe(found.content_type)


def _is_header_safe(content_type: str) -> bool:
    """Return whether a content type fits every header; a store takes any from other ways than HTTP.

    A few that fit do not count: those with a tab.
    """
    return content_type.isascii() and content_type.isprintable()
