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

import cbor2
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, DeserializationContext, SerializationContext
from schemathesis.core.transport import Response
from schemathesis.hooks import HookContext

HEAD = 1
"""The store must have committed this often before the first request."""

KNOWN_TIME = "2023-11-14T22:13:20Z"
"""That of the store's clock."""

_numbers = itertools.count()
deleted: set[str] = set()
"""Paths of values that were deleted."""


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


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, object]) -> None:
    """Bring a request that is meant to be right within the rules that no schema says."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"request {next(_numbers)}"
    if "64/" in case.operation.path:
        case.path_parameters["key"] = _as_utf8(case.path_parameters["key"])
    if case.operation.path.endswith("/import") and case.media_type == "application/octet-stream":
        case.query.setdefault("format", "jsonl")
        case.body = b""  # any bytes by the schema, and only rows by the format
    if case.query:
        case.query.pop("cursor", None)
        for name in ("rev", "version", "at"):  # one of them alone
            if name in case.query:
                for other in {"rev", "version", "at"} - {name}:
                    case.query.pop(other, None)
        if case.formatted_path in deleted:
            case.query.pop("rev", None)
            case.query.pop("at", None)
            case.query.pop("version", None)
        for name in {"from", "to"} & case.query.keys():
            case.query[name] = _known_place(case.query[name])
        if "at" in case.query:
            case.query["at"] = KNOWN_TIME
        for name in ("rev", "since"):
            if name in case.query:
                case.query[name] = _known_revision(case.query[name])
        if "match" in case.query:
            case.query.pop("delimiter", None)
        if case.headers and "Idempotency-Key" in case.headers:
            case.query.pop("atomic", None)
        if "expect" in case.query:
            case.query["expect"] = _known_revision(case.query["expect"])
        if "wait" in case.query:
            case.query["wait"] = 0.01  # right whatever it is, but a test has no minute
    if case.operation.path.endswith("/diff"):
        case.query.setdefault("from", "0")
    if isinstance(case.body, dict):
        case.body = _within_rules(case.body)
        if case.operation.path.endswith("/tokens"):
            case.body["name"] = f"token {next(_numbers)}"  # printable, and not taken
            if case.body.get("expires") is not None:
                case.body["expires"] = "2030-01-31T12:00:00Z"
    if case.operation.path.endswith("/export") and case.query:
        case.query.pop("at", None)  # it may be before the first commit, and excludes 'rev'


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Remember what was deleted."""
    if case.method == "DELETE" and response.status_code == 204:
        deleted.add(case.formatted_path)


def _as_utf8(key: str) -> str:
    """A key in base64url without what is no UTF-8 in it."""
    text = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode(errors="ignore")
    return as_base64url(text or "a")


def _known_revision(revision: object) -> int:
    return int(str(revision).partition(".")[0]) % (HEAD + 1)


def _known_place(place: object) -> object:
    """A time for a time, a revision for a revision."""
    is_number = str(place).partition(".")[0].isdecimal()
    return _known_revision(place) if is_number else KNOWN_TIME


def _within_rules(body: dict[str, object]) -> dict[str, object]:
    mended = {name: _whole_numbers(member) for name, member in body.items()}
    if "to" in mended:  # of a rollback, which may change few keys only
        mended["to"] = _known_place(mended["to"])
        if mended.get("prefix") is not None:
            mended["prefix"] = "none of the keys"
        if mended.get("keys") is not None:
            mended["keys"] = mended["keys"][:5]
    if mended.get("at") is not None:
        mended["at"] = KNOWN_TIME
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
