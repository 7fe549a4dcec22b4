"""``/v1/admin/retention``: which history the store keeps."""

from __future__ import annotations

import falcon

from rundlet_server.functions.limits import mget_body_bytes_max, mget_body_items_max
from rundlet_server.functions.messages.bodies import answer_type, body_type, read_body
from rundlet_server.functions.messages.decoding import BodyDecoder
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.timelines import Retention, encode_retention
from rundlet_server.functions.monitoring.counting import CountedStore


class RetentionResource:
    """The retention, which belongs to the store, not to the server."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store
        self._body_bytes_max = mget_body_bytes_max(store.info.limits)
        items_max = mget_body_items_max(store.info.limits)
        self._decoder = BodyDecoder(Retention, "mget_body_items_max", items_max)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the retention."""
        Query(req)
        self._send(resp, answer_type(req))

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Replace the retention."""
        self._store.require_writable()
        self._store.require("retention")
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        body = read_body(req, "mget_body_bytes_max", self._body_bytes_max)
        self._store.retain(self._decoder.decode(body, asked_type).to_storage())
        self._send(resp, media_type)

    def _send(self, resp: falcon.Response, media_type: str) -> None:
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept")))
        resp.data = encode_retention(self._store.retention(), media_type)
