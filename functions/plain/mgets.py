"""Plain mgets, answered without Falcon by a server with an event loop.

``POST /v1/mget`` is plain if it has a small body, no query and only headers that do not change its
effect, if it asks for the newest values of few keys, and if the store has these values in memory.
``PlainMgets`` answers it with the same parts as the Falcon route does. Falcon answers all other
mgets, and plain ones that end in an error. Both send the same bytes; a test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Final

from rundlet_server.functions.access.admission import Access
from rundlet_server.functions.messages.answers import encode_mget
from rundlet_server.functions.messages.bodies import CBOR_TYPE, JSON_TYPE
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.quick import AsgiAnswer, CountRequest, Kind
from rundlet_server.functions.plain.requests import (
    PLAIN_HEADERS,
    SMALL_BYTES,
    environ_of,
    host_of,
    plain_fields,
    plain_size,
    spelled,
)
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import MGET
from rundlet_server.functions.routes.batches import mget_decoder

_TYPES: Final = {media_type.encode(): media_type for media_type in (JSON_TYPE, CBOR_TYPE)}
_PATH: Final = MGET.template.encode()
_RULE: Final = MGET.rules["POST"]
_KNOWN: Final = PLAIN_HEADERS | {b"authorization"}
_READ: Final = spelled("host", "authorization")
"""Headers that decide the answer."""
_OK: Final[Kind] = (f"{MGET.template} POST", "200 OK")


class PlainMgets:
    """Answers plain mgets."""

    def __init__(
        self,
        store: CountedStore,
        access: Access | None,
        count: CountRequest,
        *,
        last_headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Answer from a store; the arguments are those of ``PlainGets``."""
        self.store = store
        self.access = access
        self.count = count
        self.last_headers = [(name.encode(), text.encode()) for name, text in last_headers]
        self.limits = store.info.limits
        self.decoder = mget_decoder(self.limits)

    def begin(self, raw_path: bytes, headers: Sequence[tuple[bytes, bytes]]) -> PlainMget | None:
        """See ``QuickMgets``."""
        fields = plain_fields(headers, _KNOWN) if raw_path == _PATH else None
        if fields is None:
            return None
        asked_type = fields.get(b"content-type", b"")
        answer_type = fields.get(b"accept", b"*/*")
        if answer_type == b"*/*":
            answer_type = asked_type
        size = plain_size(fields)
        if asked_type not in _TYPES or answer_type not in _TYPES or not 0 < size <= SMALL_BYTES:
            return None
        environ = environ_of("POST", fields, _READ)
        return PlainMget(self, environ, (_TYPES[asked_type], _TYPES[answer_type]), size)


class PlainMget:
    """A plain mget; see ``QuickMget``.

    Attributes:
        size: of the body.
    """

    __slots__ = ("_environ", "_mgets", "_types", "size")

    def __init__(
        self, mgets: PlainMgets, environ: dict[str, object], types: tuple[str, str], size: int
    ) -> None:
        """``types`` are those of the request and of the answer."""
        self._mgets = mgets
        self._environ = environ
        self._types = types
        self.size = size

    def answer(self, body: bytes) -> AsgiAnswer | None:
        """See ``QuickMget``."""
        started_ns = perf_counter_ns()
        mgets, environ = self._mgets, self._environ
        access = mgets.access
        asked_type, answer_type = self._types
        if not host_of(environ):
            return None
        try:
            asked = mgets.decoder.decode(body, asked_type)
        except Problem:
            return None
        if access is not None and not access.admits(environ, MGET, _RULE, asked.keys):
            return None
        snapshot = mgets.store.get_many_now(asked.keys) if asked.is_plain(mgets.limits) else None
        if snapshot is None:
            return None
        data = encode_mget(asked.keys, snapshot.entries, snapshot.revision, answer_type)
        headers = [
            (b"content-type", answer_type.encode()),
            *mgets.last_headers,
            (b"content-length", b"%d" % len(data)),
        ]
        elapsed_ns = perf_counter_ns() - started_ns
        mgets.count(environ, _OK, elapsed_ns, len(data), received_bytes=self.size)
        return 200, headers, data
