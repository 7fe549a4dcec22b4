"""``/v1/keys``: keys in order, page by page of one snapshot."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

import falcon

from rundlet_server.functions.access.admission import visible_prefix
from rundlet_server.functions.limits import LIST_KEYS_DEFAULT
from rundlet_server.functions.messages.answers import encode_page
from rundlet_server.functions.messages.bodies import answer_type
from rundlet_server.functions.messages.query import REVISION_MAX, Query, bad_query
from rundlet_server.functions.messages.sending import Hold, SendingGate
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.route_table import KEYS
from rundlet_server.storage.errors import Compacted, Unavailable
from rundlet_server.storage.interface import Page
from rundlet_server.storage.timeline import At, Moment

_ATTEMPTS: Final = 10
"""How often a first page begins again; a second time is rare."""
_OPTIONS = ("prefix", "start", "end", "limit", "reverse", "delimiter", "include", "rev", "cursor")


class KeysResource:
    """The list of keys."""

    def __init__(self, store: CountedStore, sending: SendingGate) -> None:
        self._store = store
        self._sending = sending
        self._limits = store.info.limits

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """One page."""
        self._page(req, resp)

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer as GET does, without the page, and with the count of keys on all pages."""
        count = self._page(req, resp, with_count=True)
        resp.set_header("KV-Count", str(count))

    def _page(self, req: falcon.Request, resp: falcon.Response, *, with_count: bool = False) -> int:
        """Answer with a page; return the count of keys on all pages if it is wanted, else 0."""
        query = Query(req, *_OPTIONS)
        if query.text("rev") is not None:
            self._store.require("history")
        selection = Selection.from_query(query, self._limits.list_keys_max)
        selection = replace(selection, prefix=visible_prefix(req.env, selection.prefix))
        media_type = answer_type(req)
        for _ in range(_ATTEMPTS):
            try:
                return self._answer(req, resp, selection, media_type, with_count=with_count)
            except Compacted:
                if selection.at is not None:
                    raise
        raise Unavailable("compaction dropped each revision while the list read it")

    def _answer(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        selection: Selection,
        media_type: str,
        *,
        with_count: bool,
    ) -> int:
        """Answer with a page at one moment; the count, if it is wanted, is of the same one.

        A first page reads at the head. The count reads once more at that revision, and compaction
        may have dropped it meanwhile: then the page begins again.
        """
        resp.content_type = media_type
        resp.set_headers((("Cache-Control", "no-cache"), ("Vary", "Accept")))
        with self._sending.hold() as hold:
            page = self._scan(selection, hold)
            count = self._count(selection, page.moment) if with_count else 0
            next_url = None
            if page.resume is not None:
                next_url = selection.next_page(page.moment, page.resume)
                resp.set_header("Link", f'<{next_url}>; rel="next"')
            hold.send(req, resp, encode_page(page, next_url, media_type))
        return count

    def _count(self, selection: Selection, moment: Moment) -> int:
        return self._store.count(
            prefix=selection.prefix, start=selection.start, end=selection.end, at=moment
        )

    def _scan(self, selection: Selection, hold: Hold) -> Page:
        return self._store.scan(
            prefix=selection.prefix,
            start=selection.start,
            end=selection.end,
            after=selection.after,
            limit=selection.limit,
            reverse=selection.reverse,
            delimiter=selection.delimiter,
            include_values=selection.include_values,
            at=selection.at,
            admit=hold.admit,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which keys, in which order: the options of a list. Attributes as in ``Store.scan``."""

    prefix: str
    start: str | None
    end: str | None
    limit: int
    reverse: bool
    delimiter: str | None
    include_values: bool
    at: At | None
    after: str | None

    @classmethod
    def from_query(cls, query: Query, limit_max: int) -> Selection:
        """Read the options.

        Raises:
            Problem: 400 ``bad-query``.
        """
        if query.text("include") not in (None, "value"):
            raise bad_query("the option 'include' can only be 'value'; send that, or leave it out")
        if query.text("delimiter") == "":
            raise bad_query("the option 'delimiter' is empty; leave it out to roll up nothing")
        at: At | None = query.revision("rev")
        after = None
        cursor = query.text("cursor")
        if cursor is not None:
            if at is not None:
                raise bad_query("a cursor already holds a revision; leave 'rev' out")
            at, after = _decode_cursor(cursor)
        return cls(
            prefix=query.text("prefix") or "",
            start=query.text("start"),
            end=query.text("end"),
            limit=query.count(
                "limit", default=LIST_KEYS_DEFAULT, most=limit_max, limit="list_keys_max"
            ),
            reverse=query.flag("reverse"),
            delimiter=query.text("delimiter"),
            include_values=query.text("include") == "value",
            at=at,
            after=after,
        )

    def next_page(self, moment: Moment, resume: str) -> str:
        """Return the URL of the next page: the same options, and a cursor with the moment."""
        options = {
            "prefix": self.prefix or None,
            "start": self.start,
            "end": self.end,
            "limit": str(self.limit),
            "reverse": "true" if self.reverse else None,
            "delimiter": self.delimiter,
            "include": "value" if self.include_values else None,
            "cursor": _encode_cursor(moment, resume),
        }
        given = {name: option for name, option in options.items() if option is not None}
        return f"{KEYS.path}?{urlencode(given)}"


def _encode_cursor(moment: Moment, resume: str) -> str:
    cursor = json.dumps([*moment, resume], separators=(",", ":"))
    return base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[Moment, str]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        match parts:
            case [int(revision), int(time_us), str(after)] if (
                0 <= revision <= REVISION_MAX and 0 <= time_us <= REVISION_MAX
            ):
                after.encode()  # a surrogate is no text that a cursor of ours holds
                return Moment(revision, time_us), after
    except (ValueError, RecursionError, binascii.Error):
        pass
    raise bad_query("the cursor is not one that this server gave out; start again without it")
