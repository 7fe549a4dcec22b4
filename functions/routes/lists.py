"""``/v1/keys``: keys in order, page by page of one snapshot, and their deletion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

import falcon

from rundlet_server.functions.access.admission import (
    note_keys,
    note_revision,
    require_keys,
    visible_prefix,
)
from rundlet_server.functions.access.idempotency import mark_replay
from rundlet_server.functions.limits import LIST_KEYS_DEFAULT
from rundlet_server.functions.messages.answers import encode_page
from rundlet_server.functions.messages.bodies import answer_type
from rundlet_server.functions.messages.cursors import Cursors
from rundlet_server.functions.messages.moments import asked_at
from rundlet_server.functions.messages.query import Query, bad_query, glob_given
from rundlet_server.functions.messages.sending import Hold, SendingGate, link_next
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.route_table import KEYS
from rundlet_server.functions.routes.deletions import DeletionRequest, encode_deletion, stopped
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.interface import Page
from rundlet_server.storage.selecting.deletion import Deletion
from rundlet_server.storage.selecting.globs import Glob
from rundlet_server.storage.selecting.matching import (
    Selected,
    Wanted,
    count_selected,
    matching_page,
)
from rundlet_server.storage.timeline import At

_OPTIONS = (
    *("prefix", "match", "start", "end", "limit", "reverse", "delimiter", "include"),
    *("rev", "at", "cursor"),
)

_INCLUDED = ("value", "meta")


class KeysResource:
    """The list of keys."""

    def __init__(self, store: CountedStore, sending: SendingGate) -> None:
        self._store = store
        self._sending = sending
        self._limits = store.info.limits
        self._cursors = Cursors(store.info.store_id)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send one page.

        A first page takes the head and reads it in one step, so that compaction cannot remove the
        revision in between.
        """
        selection, media_type = self._asked(req, resp)
        with self._sending.hold() as hold:
            page = self._scan(selection, hold)
            next_url = None
            if page.resume is not None:
                cursor = self._cursors.encode(page.moment, resume=page.resume)
                next_url = selection.next_page(cursor)
            hold.send(req, resp, encode_page(page, next_url, media_type))
        link_next(resp, next_url)

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the count of keys on all pages, without reading a page.

        The answer lacks the headers that depend on the page: Content-Length and Link.
        """
        selection, _ = self._asked(req, resp)
        count = count_selected(self._store, selection.selected, selection.at)
        resp.set_header("KV-Count", str(count))
        resp.stream = ()  # without it, Falcon would send the Content-Length of an empty body

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Delete all keys with a prefix that match, if there are as many as the client expects."""
        asked = DeletionRequest.from_query(req)
        note_keys(req.env, (asked.selected.prefix,))
        require_keys(req.env, (asked.selected.prefix,))
        self._store.require_writable()
        media_type = answer_type(req)
        repeat = asked.idempotency(req, self._store.idempotency_s)
        deletion = Deletion(self._store, asked.selected, asked.expected, idempotency=repeat)
        try:
            if asked.is_atomic:
                note_keys(req.env, deletion.at_once())
                if deletion.deleted:
                    note_revision(req.env, deletion.revision)
            else:
                deletion.in_batches()
        except StoreError as ex:
            raise stopped(ex, deletion) from ex
        mark_replay(resp, is_replay=deletion.is_replay)
        resp.content_type = media_type
        resp.data = encode_deletion(deletion, media_type)

    def _asked(self, req: falcon.Request, resp: falcon.Response) -> tuple[Selection, str]:
        """Return the requested keys and media type; set the headers that depend on them."""
        query = Query(req, *_OPTIONS)
        if query.text("rev") is not None:
            self._store.require("history")
        at = asked_at(query, self._store.moment)
        selection = Selection.from_query(query, at, self._limits.list_keys_max, self._cursors)
        selection = replace(selection, visible=visible_prefix(req.env, selection.prefix))
        media_type = answer_type(req)
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept")))
        return selection, media_type

    def _scan(self, selection: Selection, hold: Hold) -> Page:
        if selection.glob is not None:
            wanted = Wanted(
                limit=selection.limit,
                after=selection.after,
                reverse=selection.reverse,
                include_values="value" in selection.included,
                include_metadata="meta" in selection.included,
                at=selection.at,
                admit=hold.admit,
            )
            return matching_page(self._store.store, selection.selected, selection.glob, wanted)
        return self._store.scan(
            prefix=selection.visible,
            start=selection.start,
            end=selection.end,
            after=selection.after,
            limit=selection.limit,
            reverse=selection.reverse,
            delimiter=selection.delimiter,
            include_values="value" in selection.included,
            include_metadata="meta" in selection.included,
            at=selection.at,
            admit=hold.admit,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which keys, in which order: the options of a list. Attributes as in ``Store.scan``.

    Attributes:
        visible: ``prefix``, or the longer prefix of the caller's token.
        glob: must match the rest of the key after ``prefix``.
        included: words of ``_INCLUDED``: what the answer adds to each key.
    """

    prefix: str
    visible: str
    glob: Glob | None
    start: str | None
    end: str | None
    limit: int
    reverse: bool
    delimiter: str | None
    included: frozenset[str]
    at: At | None
    after: str | None

    @classmethod
    def from_query(cls, query: Query, at: At | None, limit_max: int, cursors: Cursors) -> Selection:
        """Read the options; an empty 'prefix', 'start' or 'end' sets no bound.

        Raises:
            Problem: 400 ``bad-query``.
        """
        if query.text("delimiter") == "":
            raise bad_query("the option 'delimiter' is empty; leave it out to roll up nothing")
        prefix = query.text("prefix") or ""
        glob = glob_given(query, prefix)
        if glob is not None and query.text("delimiter") is not None:
            raise bad_query("'match' excludes 'delimiter'; send one of them")
        after = None
        cursor = query.text("cursor")
        if cursor is not None:
            if at is not None:
                raise bad_query("a cursor already holds a revision; leave 'rev' and 'at' out")
            (at,), after = cursors.decode(cursor, 1)
        return cls(
            prefix=prefix,
            visible=prefix,
            glob=glob,
            start=query.text("start") or None,
            end=query.text("end") or None,
            limit=query.count(
                "limit", default=LIST_KEYS_DEFAULT, most=limit_max, limit="list_keys_max"
            ),
            reverse=query.flag("reverse"),
            delimiter=query.text("delimiter"),
            included=query.words("include", _INCLUDED),
            at=at,
            after=after,
        )

    @property
    def selected(self) -> Selected:
        """The selected keys, without the options of a page."""
        return Selected(self.visible, self.glob, self.start, self.end)

    def next_page(self, cursor: str) -> str:
        """Return the URL of the next page: the same options, and the cursor."""
        options = {
            "prefix": self.prefix or None,
            "match": self.glob.pattern if self.glob else None,
            "start": self.start,
            "end": self.end,
            "limit": str(self.limit),
            "reverse": "true" if self.reverse else None,
            "delimiter": self.delimiter,
            "include": ",".join(sorted(self.included)) or None,
            "cursor": cursor,
        }
        given = {name: option for name, option in options.items() if option is not None}
        return f"{KEYS.path}?{urlencode(given)}"
