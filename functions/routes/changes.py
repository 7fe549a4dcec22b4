"""``/v1/changes``: the change feed, as pages or as a stream."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

import falcon

from rundlet_server.functions.access.admission import visible_prefix
from rundlet_server.functions.feeds.events import FORMS, NDJSON_TYPE, SSE_TYPE, encode_changes
from rundlet_server.functions.feeds.places import FEED_EVENTS
from rundlet_server.functions.feeds.reading import Selection, read_page
from rundlet_server.functions.feeds.stream import Source, Stream
from rundlet_server.functions.feeds.waiting import Waited
from rundlet_server.functions.limits import LIST_KEYS_DEFAULT
from rundlet_server.functions.messages.bodies import CBOR_TYPE, JSON_TYPE, answer_type
from rundlet_server.functions.messages.query import Query, bad_query, revision_of
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.storage.timeline import Changes

_OPTIONS: Final = ("since", "prefix", "limit", "include", "wait")
_OF_PAGES: Final = ("limit", "wait")
_TYPES: Final = (JSON_TYPE, CBOR_TYPE, NDJSON_TYPE, SSE_TYPE)


class ChangesResource:
    """The change feed."""

    def __init__(self, store: CountedStore, source: Source, ids: RequestIds) -> None:
        self._store = store
        self._source = source
        self._ids = ids
        self._limits = store.info.limits

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send one page or a stream, as ``Accept`` asks."""
        self._store.require("changes")
        query = Query(req, *_OPTIONS)
        if query.text("include") not in (None, "value"):
            raise bad_query("the option 'include' can only be 'value'; send that, or leave it out")
        prefix = visible_prefix(req.env, query.text("prefix") or "")
        selection = Selection(prefix, include_values=query.text("include") == "value")
        media_type = answer_type(req, offered=_TYPES)
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept")))
        if media_type in FORMS:
            self._stream(req, resp, query, selection)
        else:
            self._send_page(req, resp, query, selection)

    def _send_page(
        self, req: falcon.Request, resp: falcon.Response, query: Query, selection: Selection
    ) -> None:
        limit = query.count(
            "limit",
            default=LIST_KEYS_DEFAULT,
            most=self._limits.list_keys_max,
            limit="list_keys_max",
        )
        wait_s = query.seconds("wait", most=self._source.wait_s_max, limit="wait_s_max")
        since = query.revision("since")
        position = self._store.head_revision() if since is None else since
        with self._source.sending.hold() as hold:
            read = functools.partial(
                read_page,
                self._source.store,
                selection,
                limit=limit,
                bytes_max=self._limits.answer_bytes_max,
                admit=hold.admit,
            )
            page = self._source.waits.work(lambda: read(position))
            if wait_s and not page.events:
                waited = Waited(prefix=selection.prefix, since=page.next_since, wait_s=wait_s)
                events_max = 0 if selection.include_values else limit
                page = self._wait(req, waited, read, events_max=events_max)
            assert resp.content_type is not None
            self._source.counters.add(FEED_EVENTS, len(page.events))
            hold.send(req, resp, encode_changes(page, resp.content_type))

    def _wait(
        self,
        req: falcon.Request,
        waited: Waited,
        read: Callable[[int], Changes],
        *,
        events_max: int,
    ) -> Changes:
        """Wait for a page with events, or until the time is over.

        The page that waiting requests share is used if it has at most ``events_max`` events.
        """
        page = Changes([], waited.since, 0)

        def read_on() -> Changes:
            return self._source.waits.work(lambda: read(page.next_since))

        def has_events(found: Changes | None) -> bool:
            nonlocal page
            is_shared = found is not None and len(found.events) <= events_max
            page = found if found is not None and is_shared else read_on()
            return bool(page.events)

        with self._source.places.taken():
            self._source.waiting.until(req.env, waited, has_events)
        return page if page.events else read_on()

    def _stream(
        self, req: falcon.Request, resp: falcon.Response, query: Query, selection: Selection
    ) -> None:
        for name in _OF_PAGES:
            if query.text(name) is not None:
                raise bad_query(f"the option '{name}' is for pages, not for streams; leave it out")
        since = query.revision("since")
        last_seen = req.env.get("HTTP_LAST_EVENT_ID")
        if last_seen and resp.content_type == SSE_TYPE:
            since = revision_of("the header 'Last-Event-ID'", last_seen)
        position = self._store.head_revision() if since is None else since
        # The store refuses a position that cannot be followed.
        self._source.waits.work(lambda: self._source.store.changes(position, limit=1))
        place = self._source.places.take()
        assert resp.content_type is not None
        stream = Stream(self._source, FORMS[resp.content_type], selection, position, place)
        resp.set_header("X-Accel-Buffering", "no")  # nginx would collect events otherwise
        resp.stream = stream.pieces(req.env, self._ids.of(req.env))
