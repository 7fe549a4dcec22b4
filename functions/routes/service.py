"""The routes about the server itself: ``/v1``, ``/v1/stats``, ``/livez`` and compaction."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import falcon

from rundlet_server.functions.messages.bodies import JSON_TYPE, encode
from rundlet_server.functions.messages.pages import refuse_foreign_page
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.validators import is_among
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.route_table import STATS
from rundlet_server.storage.counting.counters import OPERATION_KINDS

_CHANGING: Final = (("content-type", JSON_TYPE), ("cache-control", "no-store"))
"""The headers of an answer that caches must not store, because it changes."""
LIVE_HEADERS: Final = _CHANGING
LIVE_BODY: Final = encode({"status": "live"}, JSON_TYPE)


class FixedResource:
    """An answer that never changes while the server runs."""

    def __init__(self, answer: Mapping[str, object]) -> None:
        self._body = encode(answer, JSON_TYPE)
        self._tag = f'"{blake2b(self._body, digest_size=12).hexdigest()}"'

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the answer, or 304."""
        Query(req)
        resp.set_headers((("ETag", self._tag), ("Cache-Control", "no-cache")))
        if is_among(req.env.get("HTTP_IF_NONE_MATCH", ""), self._tag):
            resp.status = 304
            return
        resp.content_type = JSON_TYPE
        resp.data = self._body

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class ServiceResource:
    """``/v1``: version, backend, settings and limits of the server."""

    def __init__(self, store: CountedStore, version: str, limits: Mapping[str, object]) -> None:
        self._store = store
        self._version = version
        self._limits = limits

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the service document."""
        Query(req)
        info = self._store.info
        answer = {
            "name": "rundlet",
            "version": self._version,
            "backend": info.backend,
            "store_id": info.store_id,
            "revision": self._store.head_revision(),
            "read_only": self._store.read_only,
            "sync": info.settings.get("sync"),
            "clock_ahead_s": self._store.health().clock_ahead_s,
            "settings": info.settings,
            "limits": self._limits,
        }
        _send(resp, answer)

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class StatsResource:
    """``/v1/stats``: counts as JSON."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the counts."""
        Query(req)
        stats = self._store.stats()
        answer = {
            "revision": stats.revision,
            "oldest_revision": stats.oldest_revision,
            "keys": stats.key_count,
            "value_bytes": stats.value_bytes,
            "operations": _counts(self._store),
            "store": {name: gauge.value for name, gauge in self._store.gauges().items()},
        }
        _send(resp, answer)

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class LiveResource:
    """``/livez``: the process is alive. ``plain.gets`` answers most of these without Falcon."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer that the process is alive."""
        Query(req)
        resp.set_headers(LIVE_HEADERS)
        resp.data = LIVE_BODY

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class CompactResource:
    """``/v1/admin/compact``."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask for a compaction, which runs in the background."""
        refuse_foreign_page(req, "start a compaction")
        self._store.require_writable()
        self._store.require("compaction")
        Query(req)
        self._store.compact()
        resp.status = 202
        _send(resp, {"status": f"compaction asked for; follow it in {STATS.path}"})


def _send(resp: falcon.Response, answer: Mapping[str, object]) -> None:
    """Send an answer that caches must not store."""
    resp.set_headers(_CHANGING)
    resp.data = encode(answer, JSON_TYPE)


def _counts(store: CountedStore) -> dict[str, int]:
    totals = store.counters.totals()
    return {kind: totals.get(kind, 0) for kind in OPERATION_KINDS}
