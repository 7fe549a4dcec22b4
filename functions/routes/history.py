"""``/v1/history/{key}`` and ``/v1/history64/{key}``: the versions of one key."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

import falcon

from rundlet_server.functions.access.admission import note_revision, require_keys
from rundlet_server.functions.limits import LIST_KEYS_DEFAULT
from rundlet_server.functions.messages.bodies import answer_type
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.sending import SendingGate, link_next
from rundlet_server.functions.messages.target import decode_percent
from rundlet_server.functions.messages.timelines import (
    ERASE_WAIT_S_MAX,
    encode_erased,
    encode_history,
)
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import KEYS, Route
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT
from rundlet_server.storage.timeline import History


class HistoryResource:
    """The versions of one key. ``decode_key`` as in ``ValueResource``."""

    def __init__(
        self,
        store: CountedStore,
        sending: SendingGate,
        route: Route,
        decode_key: Callable[[str, int], str],
    ) -> None:
        self._store = store
        self._sending = sending
        self._route = route
        self._decode_key = decode_key
        self._limits = store.info.limits

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Versions, newest first."""
        name = self._decode_key(key, KEY_BYTES_LIMIT)
        require_keys(req.env, (name,))
        query = Query(req, "limit", "before")
        limit = query.count(
            "limit",
            default=LIST_KEYS_DEFAULT,
            most=self._limits.list_keys_max,
            limit="list_keys_max",
        )
        media_type = answer_type(req)
        history = self._history(name, limit, query.revision("before"))
        next_url = None
        if history.resume is not None:
            next_url = self._next_page(key, limit, history.resume)
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept")))
        with self._sending.hold() as hold:
            hold.send(req, resp, encode_history(name, history, next_url, media_type))
        link_next(resp, next_url)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Erase every version for good."""
        name = self._decode_key(key, KEY_BYTES_LIMIT)
        require_keys(req.env, (name,))
        self._store.require_writable()
        self._store.require("erase")
        wait_s = Query(req, "wait").seconds("wait", most=ERASE_WAIT_S_MAX)
        media_type = answer_type(req)
        erased = self._store.erase(name, wait_s=wait_s)
        if not erased.is_found:
            raise _unknown(name)
        note_revision(req.env, erased.revision)
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept")))
        resp.data = encode_erased(erased, media_type)

    def _history(self, key: str, limit: int, before: int | None) -> History:
        """Return a page, which may be empty if the key has newer versions."""
        self._store.require("history")
        history = self._store.history(key, limit=limit, before=before)
        if not history.versions and (
            before is None or not self._store.history(key, limit=1).versions
        ):
            raise _unknown(key)
        return history

    def _next_page(self, encoded_key: str, limit: int, before: int) -> str:
        """Return the URL of the next page; the key is encoded again to be safe in ``Link``."""
        path = self._route.base + quote(decode_percent(encoded_key), safe="/")
        return f"{path}?{urlencode({'limit': limit, 'before': before})}"


def _unknown(key: str) -> Problem:
    shown = key if len(key) <= 100 else key[:100] + "…"
    detail = (
        f"no history is kept of the key {shown!r}; {KEYS.path} lists the keys that have a value"
    )
    return Problem(404, "not-found", detail)
