"""``/v1/diff``: the keys that differ between two revisions or times."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

import falcon

from rundlet_server.functions.access.admission import visible_prefix
from rundlet_server.functions.limits import LIST_KEYS_DEFAULT
from rundlet_server.functions.messages.bodies import answer_type
from rundlet_server.functions.messages.cursors import Cursors
from rundlet_server.functions.messages.moments import at_of
from rundlet_server.functions.messages.query import Query, bad_query
from rundlet_server.functions.messages.rollbacks import encode_diff
from rundlet_server.functions.messages.sending import SendingGate, link_next
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.route_table import DIFF
from rundlet_server.storage.past.differences import differences, moment_of
from rundlet_server.storage.timeline import Moment


class _Span(NamedTuple):
    """The two moments to compare, and the key after which a page begins."""

    before: Moment
    after: Moment
    resume: str | None


class DiffResource:
    """Differences between two moments, page by page."""

    def __init__(self, store: CountedStore, sending: SendingGate) -> None:
        self._store = store
        self._sending = sending
        self._limits = store.info.limits
        self._cursors = Cursors(store.info.store_id)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send one page."""
        query = Query(req, "from", "to", "prefix", "limit", "cursor")
        limit = query.count(
            "limit",
            default=LIST_KEYS_DEFAULT,
            most=self._limits.list_keys_max,
            limit="list_keys_max",
        )
        prefix = visible_prefix(req.env, query.text("prefix") or "")
        media_type = answer_type(req)
        self._store.require("history")
        self._store.require("changes")
        before, after, resume = self._span(query)
        page = differences(
            self._store.store, before, after, prefix=prefix, resume=resume, limit=limit
        )
        next_url = None
        if page.resume is not None:
            cursor = self._cursors.encode(before, after, resume=page.resume)
            options = {"prefix": prefix, "limit": limit, "cursor": cursor}
            next_url = f"{DIFF.path}?{urlencode(options)}"
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept")))
        revisions = (before.revision, after.revision)
        with self._sending.hold() as hold:
            hold.send(req, resp, encode_diff(revisions, page.found, next_url, media_type))
        link_next(resp, next_url)

    def _span(self, query: Query) -> _Span:
        """Read the moments to compare.

        Raises:
            Problem: 400 ``bad-query``.
        """
        first, last = query.text("from"), query.text("to")
        cursor = query.text("cursor")
        if cursor is not None:
            if first is not None or last is not None:
                raise bad_query("a cursor already holds both ends; leave 'from' and 'to' out")
            (before, after), resume = self._cursors.decode(cursor, 2)
            return _Span(before, after, resume)
        if first is None:
            raise bad_query("the option 'from' is missing; send a revision or a time")
        return _Span(
            self._end("from", first),
            moment_of(self._store) if last is None else self._end("to", last),
            None,
        )

    def _end(self, name: str, text: str) -> Moment:
        return moment_of(self._store, at_of(name, text, self._store.moment))
