"""Pieces that several routes share."""

from __future__ import annotations

import msgspec

from rundlet_server.functions.problems import title_of
from rundlet_server.storage.bounds import IDEMPOTENCY_KEY_BYTES_MAX

Json = dict[str, object]

_PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457 problem details; some problems have further members.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do."},
        "request_id": {"type": "string", "description": "Also in the header Request-Id."},
        "revision": {"type": "integer", "description": "412: the key's revision now, 0: none."},
        "oldest_revision": {"type": "integer", "description": "410: the oldest one to read."},
        "oldest_time": {
            "type": "string",
            "format": "date-time",
            "description": "410: the oldest time to read.",
        },
        "count": {"type": "integer", "description": "412: the keys that would be deleted."},
        "deleted": {"type": "integer", "description": "Keys that were deleted before it failed."},
        "backend": {"type": "string", "description": "501: the backend of the store."},
        "feature": {"type": "string", "description": "501: the feature that it lacks."},
        "limit": {"type": "integer", "description": "413, 414: the most that is allowed."},
        "got": {"type": "integer", "description": "413, 414: what was sent."},
        "line": {"type": "integer", "description": "Import: the row that ended it, from 1."},
        "imported": {"type": "integer", "description": "Import: rows that are stored."},
        "skipped": {"type": "integer", "description": "Import: rows that were left out."},
        "index": {"type": "integer", "description": "422: which operation is wrong."},
        "failed": {
            "type": "array",
            "description": "409: every condition that did not hold.",
            "items": {"$ref": "#/components/schemas/FailedCondition"},
        },
        "list": {"type": "string", "description": "422: which list the operation is in."},
        "reasons": {
            "type": "array",
            "description": "503 of readiness: why the server is not ready.",
            "items": {"type": "string"},
        },
    },
}


PROBLEM_SCHEMAS: dict[str, Json] = {
    "Problem": _PROBLEM,
    "FailedCondition": {
        "type": "object",
        "required": ["index", "key", "revision"],
        "properties": {
            "index": {"type": "integer", "description": "In 'if', from 0."},
            "key": {"type": "string"},
            "revision": {"type": "integer", "description": "Of the key now; 0: it has no value."},
        },
    },
}
_HEADERS_OF_PROBLEMS: dict[int, Json] = {
    401: {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    507: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}


def schemas_of(*kinds: type) -> dict[str, Json]:
    """Return the schemas of types and of the types within them, by name."""
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return dict(schemas)


def problems(*statuses: int) -> Json:
    """Return answers that are problems, described by their status alone."""
    return {str(status): _problem(status) for status in statuses}


def _problem(status: int) -> Json:
    answer: Json = {
        "description": title_of(status),
        "content": {"application/problem+json": ref("Problem")},
    }
    headers = _HEADERS_OF_PROBLEMS.get(status)
    return {**answer, "headers": headers} if headers else answer


def schema(name: str) -> Json:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def ref(name: str) -> Json:
    """Return content with a schema of the document."""
    return {"schema": schema(name)}


def either_type(name: str) -> Json:
    """Return content that is JSON or CBOR."""
    return {"application/json": ref(name), "application/cbor": ref(name)}


def json_answer(description: str, name: str) -> Json:
    """Return an answer in JSON."""
    return {"description": description, "content": {"application/json": ref(name)}}


def header(description: str, of: Json | None = None) -> Json:
    """Return a header of an answer; it is text unless a schema is given."""
    return {"description": description, "schema": of or {"type": "string"}}


def query(name: str, description: str, of: Json) -> Json:
    """Return an option of the query."""
    return {"name": name, "in": "query", "description": description, "schema": of}


def request_header(name: str, description: str, of: Json | None = None) -> Json:
    """Return a header of a request; it is text unless a schema is given."""
    return {"name": name, "in": "header", **header(description, of)}


def link(operation_id: str, description: str, **parameters: str) -> Json:
    """Return a link to an operation; parameters are runtime expressions of OpenAPI."""
    return {"operationId": operation_id, "description": description, "parameters": parameters}


IDEMPOTENCY_KEY = request_header(
    "Idempotency-Key",
    "Makes the request safe to send again: for idempotency_s seconds, the same request with the"
    " same key is not done again and gets the first answer. Plain, or in double quotes.",
    {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_BYTES_MAX},
)
REPLAYED: Json = {
    "Idempotency-Replayed": header(
        "true, if this is the answer to an earlier request with this Idempotency-Key.",
        {"const": "true"},
    ),
}
REVISION_OPTION = query(
    "rev",
    "As of this revision, which must not be beyond the head; by default the head.",
    schema("Revision"),
)
TIME_OPTION = query(
    "at",
    "As of this time: of the newest commit at or before it; not in the future. It excludes 'rev'.",
    schema("Time"),
)
