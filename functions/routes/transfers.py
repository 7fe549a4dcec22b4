"""``/v1/export`` and ``/v1/import``: whole stores, or all keys with a prefix, as a stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Final, TypedDict

import falcon

from rundlet_server.functions.access.admission import (
    count_covered,
    require_keys,
    visible_prefix,
)
from rundlet_server.functions.limits import import_body_bytes_max
from rundlet_server.functions.messages.bodies import (
    accepts_gzip,
    announced_size,
    answer_type,
    body_pieces,
    encode,
)
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.moments import asked_at
from rundlet_server.functions.messages.pages import refuse_foreign_page
from rundlet_server.functions.messages.query import Query, bad_query
from rundlet_server.functions.messages.streams import send_stream
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import Member, Problem, problem_of, too_large
from rundlet_server.functions.transfer.exporting import Export, clock_ahead_us
from rundlet_server.functions.transfer.formats import (
    EXPORTED,
    MEDIA_TYPES,
    Format,
    OnConflict,
    format_of_type,
)
from rundlet_server.functions.transfer.gzipped import BadGzip, compressed, decompressed
from rundlet_server.functions.transfer.importing import Import, KeyExists
from rundlet_server.functions.transfer.readers import reader_of
from rundlet_server.functions.transfer.rows import Rows, Rules
from rundlet_server.functions.transfer.writing import writer_of
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.timeline import At

_SENT_UNASKED: Final = frozenset(
    {"", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"}
)
"""Browsers send bodies of these types for any web page without a preflight."""
_GZIP_NAMES: Final = ("gzip", "x-gzip")


class ImportAnswer(TypedDict):
    """How many rows an import stored and skipped."""

    imported: int
    skipped: int
    revision: int


class ExportResource:
    """An export of one snapshot."""

    def __init__(self, store: CountedStore, gates: Gates) -> None:
        self._store = store
        self._gates = gates

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the keys and values while they are read."""
        query = Query(req, "prefix", "rev", "at", "format")
        if query.text("rev") is not None or query.text("at") is not None:
            self._store.require("history")
        prefix = visible_prefix(req.env, query.text("prefix") or "")
        name = _format(query, EXPORTED) or Format.JSONL
        at = asked_at(query, self._store.moment)

        def make(stack: ExitStack) -> tuple[Iterator[bytes], bytes]:
            return self._begin(req, resp, stack, name, prefix=prefix, at=at)

        send_stream(req, resp, self._gates, make)

    def _begin(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        stack: ExitStack,
        name: Format,
        *,
        prefix: str,
        at: At | None,
    ) -> tuple[Iterator[bytes], bytes]:
        writer = writer_of(name, clock_ahead_us(self._store))
        export = Export(self._store, writer, prefix=prefix, at=at)
        stack.enter_context(self._store.hold(export.moment.revision))
        pieces = _begun(export, 1 + bool(writer.head))
        resp.content_type = MEDIA_TYPES[name]
        resp.set_headers((("Cache-Control", "no-store"), ("Vary", "Accept-Encoding")))
        resp.set_header("KV-Revision", str(export.moment.revision))
        if not accepts_gzip(req):
            return pieces, writer.broken_end
        resp.set_header("Content-Encoding", "gzip")
        return compressed(pieces), _BROKEN_GZIP


def _begun(export: Export, count: int) -> Iterator[bytes]:
    """Return the pieces of an export; read ``count`` of them now, so that errors get a status."""
    pieces = iter(export)
    first = list(itertools.islice(pieces, count))
    return itertools.chain(first, pieces)


_BROKEN_GZIP: Final = b"broken"
"""Bytes that end a broken gzip stream: they are not valid gzip, and the trailer is missing."""


class ImportResource:
    """An import of rows."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store
        self._limits = store.info.limits
        self._body_bytes_max = import_body_bytes_max(self._limits)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store the rows while they arrive."""
        if (req.content_type or "").partition(";")[0].strip().lower() in _SENT_UNASKED:
            refuse_foreign_page(req, "import keys")
        self._store.require_writable()
        query = Query(req, "on_conflict", "format", "any_key")
        name = _format(query, tuple(Format)) or _format_of_body(req)
        rules = Rules(self._limits, any_key=query.flag("any_key"))
        run = Import(self._store, _on_conflict(query), ahead_us=clock_ahead_us(self._store))
        media_type = answer_type(req)
        size = 0 if _has_no_body(req) else self._size(req)
        is_packed = _is_packed(req)
        pieces = body_pieces(req, size)
        _import(req, self._content(pieces, is_packed=is_packed), run, name, rules)
        answer: ImportAnswer = {
            "imported": run.imported,
            "skipped": run.skipped,
            "revision": self._store.head_revision(),
        }
        resp.content_type = media_type
        resp.data = encode(answer, media_type)

    def _size(self, req: falcon.Request) -> int:
        return announced_size(req, "import_body_bytes_max", self._body_bytes_max)

    def _content(self, pieces: Iterator[bytes], *, is_packed: bool) -> Iterator[bytes]:
        """Yield the bytes of the rows; once decompressed, they have the same bound as the body."""
        if not is_packed:
            yield from pieces
            return
        size = 0
        for piece in decompressed(pieces):
            size += len(piece)
            if size > self._body_bytes_max:
                raise too_large("import_body_bytes_max", self._body_bytes_max, size)
            yield piece


def _import(
    req: falcon.Request, content: Iterable[bytes], run: Import, name: Format, rules: Rules
) -> None:
    """Read and store all rows.

    Raises:
        Problem: the import ended early, at ``line``, with ``imported`` rows stored.
    """
    reader = reader_of(name, rules)
    try:
        for piece in content:
            _take(req, reader.feed(piece), run)
        _take(req, reader.end(), run)
        run.flush()
    except KeyExists as ex:
        raise _stopped(Problem(409, "key-exists", str(ex)), run, ex.line) from ex
    except BadGzip as ex:
        detail = f"the body cannot be decompressed: {ex}"
        raise _stopped(Problem(400, "bad-body", detail), run, run.next_line) from ex
    except (Problem, StoreError) as ex:
        raise _stopped(problem_of(ex), run, run.next_line) from ex


def _take(req: falcon.Request, rows: Rows, run: Import) -> None:
    """Store good rows up to the first that is bad, or that the token does not cover."""
    bad = rows.bad[0] if rows.bad else None
    good = rows.before(bad.line) if bad else rows
    covered, refusal = _covered(req, good)
    run.add(covered)
    if refusal is not None:
        run.flush()
        run.next_line = good.lines[len(covered.rows)]
        raise refusal
    if bad is not None:
        run.flush()
        run.next_line = bad.line
        raise Problem(422, "bad-row", f"line {bad.line} cannot be imported: {bad.reason}")


def _covered(req: falcon.Request, rows: Rows) -> tuple[Rows, Problem | None]:
    """Return the rows before the first key that the token does not cover, and the refusal."""
    try:
        require_keys(req.env, (row[0].decode() for row in rows.rows))
    except Problem as ex:
        covered = count_covered(req.env, (row[0].decode() for row in rows.rows))
        return rows.first(covered), ex
    return rows, None


def _stopped(problem: Problem, run: Import, line: int) -> Problem:
    """Add the progress of the import to a problem; stored rows stay stored."""
    detail = problem.detail
    headers = dict(problem.headers)
    if run.imported:
        detail = f"{run.imported} rows are stored, then: {detail}"
        headers.pop("Retry-After", None)  # it would mean that nothing was done
    members: dict[str, Member] = {**problem.members, "line": line, "imported": run.imported}
    members["skipped"] = run.skipped
    return Problem(
        problem.status, problem.name, detail, members, headers=headers, over=problem.over
    )


def _format(query: Query, allowed: tuple[Format, ...]) -> Format | None:
    text = query.text("format")
    if text is None:
        return None
    if text not in allowed:
        raise bad_query(f"the option 'format' must be one of {', '.join(allowed)}")
    return Format(text)


def _has_no_body(req: falcon.Request) -> bool:
    return not req.content_length and "HTTP_TRANSFER_ENCODING" not in req.env


def _format_of_body(req: falcon.Request) -> Format:
    if not req.content_type and _has_no_body(req):
        return Format.JSONL  # a body of no rows, valid in any format
    found = format_of_type(req.content_type or "")
    if found is None:
        types = ", ".join(MEDIA_TYPES.values())
        detail = f"send Content-Type: one of {types}; or the option 'format'"
        raise Problem(415, "unsupported-media-type", detail, headers={"Accept": types})
    return found


def _on_conflict(query: Query) -> OnConflict:
    text = query.text("on_conflict")
    if text is None:
        return OnConflict.REPLACE
    if text not in tuple(OnConflict):
        raise bad_query(f"the option 'on_conflict' must be one of {', '.join(OnConflict)}")
    return OnConflict(text)


def _is_packed(req: falcon.Request) -> bool:
    encoding = req.env.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding in ("identity", ""):
        return False
    if encoding in _GZIP_NAMES:
        return True
    detail = "send the body as it is, or with Content-Encoding: gzip"
    headers = {"Accept-Encoding": "gzip, identity"}
    raise Problem(415, "unsupported-encoding", detail, headers=headers)
