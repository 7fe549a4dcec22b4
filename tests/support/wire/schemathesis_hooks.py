"""What a schema cannot say about requests, for schemathesis: loaded by ``schemathesis.toml``.

A JSON Schema describes a request alone. The server also refuses requests for what it knows besides:
revisions beyond its head, times to come, cursors that it did not give, operations on keys that have
no such value. And some rules no schema can say: a key in base64url is UTF-8, a cursor excludes
``rev``, and that excludes ``at`` and ``version``, a glob excludes a delimiter, an idempotency key
excludes a deletion in several transactions, a transaction writes each key once, an idempotency key
belongs to one request, and a whole number is written without a fraction. These hooks bring the
requests that schemathesis takes for right within those rules. They leave the others alone, which it
sends because they are wrong.

Nor do the checks know that a deleted value can be read at an earlier revision, and that a value
comes back with whatever content type it was stored with, which need not be one that anything reads.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import cbor2
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, DeserializationContext, SerializationContext
from schemathesis.core.transport import Response
from schemathesis.hooks import HookContext

KEY = "a"
"""The store must hold this key before the first request; no request is likely to delete it."""

_numbers = itertools.count()
_turns: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


class Known:
    """What the answers told of the store.

    Attributes:
        head: its newest revision; the store must have committed before the first request.
        written: the keys of values that were put to be deleted.
        deleted: the paths of values that were deleted.
        backups: the names of the files of each backup that is held, by its id.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything, for a new store."""
        self.head = 1
        self.written: list[str] = []
        self.deleted: set[str] = set()
        self.backups: dict[str, list[str]] = {}


known = Known()


def as_base64url(text: str) -> str:
    """Text as a key in the path of ``/v1/kv64``."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


schemathesis.openapi.format(
    "base64url",
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).map(as_base64url),
)


@schemathesis.serializer("application/cbor")
def to_cbor(context: SerializationContext, value: object) -> bytes:
    """The tool knows JSON by itself, and not CBOR."""
    return cbor2.dumps(value)


@schemathesis.serializer("application/cbor-seq", "application/jsonl")
def as_it_is(context: SerializationContext, value: object) -> bytes:
    """Rows of an import, which are bytes to the tool."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.deserializer("application/cbor")
def from_cbor(context: DeserializationContext, response: Response) -> object:
    """What an answer in CBOR says."""
    return cbor2.loads(response.content)


@schemathesis.deserializer("application/x-ndjson")
def from_lines(context: DeserializationContext, response: Response) -> object:
    """A stream, which is text to the document."""
    return response.content.decode()


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, object]) -> None:
    """Bring a request that is meant to be right within the rules that no schema says."""
    if not _is_meant_to_be_right(case):
        return
    if "64/" in case.operation.path:
        case.path_parameters["key"] = _as_utf8(case.path_parameters["key"])
    if case.meta.phase.name.value != "stateful":  # there links say what is there
        _point_at_what_is_there(case)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"request {next(_numbers)}"
    if case.operation.path.endswith("/import") and case.media_type == "application/octet-stream":
        case.query.setdefault("format", "jsonl")
        case.body = b""  # any bytes by the schema, and only rows by the format
    if case.query:
        _mend_query(case)
    if case.operation.path.endswith("/diff"):
        case.query.setdefault("from", str(known.head))
    if isinstance(case.body, dict):
        case.body = _within_rules(case.body)
        if case.operation.path.endswith("/tokens"):
            case.body["name"] = f"token {next(_numbers)}"  # printable, and not taken
            if case.body.get("expires") is not None:
                case.body["expires"] = "2030-01-31T12:00:00Z"


def _is_meant_to_be_right(case: Case) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _point_at_what_is_there(case: Case) -> None:
    """Have every second request meet something: an unknown key or backup is a 404 at once."""
    turn = next(_turns[case.operation.label])
    if turn % 2:
        return
    path = case.operation.path
    if path.endswith("/{key}"):
        key = _key_that_is_there(case)
        case.path_parameters["key"] = as_base64url(key) if "64/" in path else key
        if case.headers and case.method != "GET":
            case.headers.pop("If-None-Match", None)
    if case.method in ("GET", "HEAD") and "/{id}" in path and known.backups:
        case.path_parameters["id"], files = next(reversed(known.backups.items()))
        if "file" in case.path_parameters:
            case.path_parameters["file"] = files[turn // 2 % len(files)]
    if case.headers:
        case.headers.pop("If-Match", None)  # the entity tags of no value


def _key_that_is_there(case: Case) -> str:
    """A key with a value; of a PUT one that none had, so that a DELETE has one to remove."""
    if case.method == "PUT":
        known.written.append(f"{KEY}{next(_numbers)}")
        return known.written[-1]
    if case.method == "DELETE":
        is_erased = "/history" in case.operation.path  # also a key that has no history
        return f"{KEY}{next(_numbers)}" if is_erased or not known.written else known.written.pop()
    return KEY


def _mend_query(case: Case) -> None:
    query = case.query
    query.pop("cursor", None)
    for name in ("rev", "version", "at"):  # one of them alone
        if name in query:
            for other in {"rev", "version", "at"} - {name}:
                query.pop(other, None)
    if case.formatted_path in known.deleted:
        for name in ("rev", "at", "version"):
            query.pop(name, None)
    if case.operation.path.endswith("/export"):
        query.pop("at", None)  # it may be before the first commit, and excludes 'rev'
    for name in {"from", "to"} & query.keys():
        query[name] = _known_place(query[name])
    if "at" in query:
        query["at"] = _now()
    for name in {"rev", "since"} & query.keys():
        query[name] = _known_revision(query[name])
    if "expect" in query:  # few prefixes are those of a key
        query["expect"] = int(str(query["expect"]).partition(".")[0]) % 2
    if "lease" in query:
        query["lease"] = max(float(query["lease"]), 3_600)  # longer than the tool runs
    if "match" in query:
        query.pop("delimiter", None)
    if case.headers and "Idempotency-Key" in case.headers:
        query.pop("atomic", None)
    if "wait" in query:
        query["wait"] = 0.01  # right whatever it is, but a test has no minute


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Remember what an answer tells."""
    for text in response.headers.get("kv-revision", ()):
        known.head = max(known.head, int(text))
    if case.operation.path.endswith(("/keys", "/txn")) and response.status_code == 200:
        for text in re.findall(rb'"revision": *([1-9]\d*)', response.content):
            known.head = max(known.head, int(text))
    if case.method == "DELETE" and response.status_code == 204:
        known.deleted.add(case.formatted_path)
        known.backups.pop(case.path_parameters.get("id", ""), None)
    is_taken = response.status_code == 201 and case.operation.path.endswith("/backup")
    if is_taken and _is_meant_to_be_right(case):  # others may have a lease of a second
        backup = json.loads(response.content)
        known.backups[backup["id"]] = [file["name"] for file in backup["files"]]


def _now() -> str:
    """The time of the store's clock, which is the clock of this machine."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _as_utf8(key: str) -> str:
    """A key in base64url without what is no UTF-8 in it."""
    text = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode(errors="ignore")
    return as_base64url(text or "a")


def _known_revision(revision: object) -> int:
    """The head, or the revision before: older ones may be compacted."""
    return known.head - int(str(revision).partition(".")[0]) % 2


def _known_place(place: object) -> object:
    """A time for a time, a revision for a revision."""
    is_number = str(place).partition(".")[0].isdecimal()
    return _known_revision(place) if is_number else _now()


def _within_rules(body: dict[str, object]) -> dict[str, object]:
    mended = {name: _whole_numbers(member) for name, member in body.items()}
    if "to" in mended:  # of a rollback, which may change few keys only
        mended["to"] = _known_place(mended["to"])
        if mended.get("prefix") is not None:
            mended["prefix"] = "none of the keys"
        if mended.get("keys") is not None:
            mended["keys"] = mended["keys"][:5]
    if mended.get("at") is not None:
        mended["at"] = _now()
    if mended.get("rev") is not None:
        mended["rev"] = _known_revision(mended["rev"])
    for name in ("then", "else"):
        if mended.get(name):
            mended[name] = _done_anyway(mended[name])
    return mended


def _whole_numbers(item: object) -> object:
    match item:
        case dict():
            return {name: _whole_numbers(member) for name, member in item.items()}
        case list():
            return [_whole_numbers(member) for member in item]
        case float() if item.is_integer():
            return int(item)
        case _:
            return item


def _done_anyway(operations: list[dict[str, object]]) -> list[dict[str, object]]:
    """The operations that succeed whatever the store holds, each on a key of its own.

    ``touch`` and ``restore`` need a value or a version that is there, and ``add`` a number that has
    room for the sum: it gets a key of its own.
    """
    kept = {}
    for operation in operations:
        if operation["op"] == "add":
            operation["key"] = f"number {next(_numbers)}"
        if operation.get("content_type"):
            operation["content_type"] = "text/plain"
        if operation["op"] not in ("touch", "restore"):
            kept.setdefault(operation["key"], operation)
    return list(kept.values())
