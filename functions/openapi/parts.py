"""Pieces that several routes share."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

Json = dict[str, object]

PROBLEM_SCHEMA: Json = {
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
        "oldest_revision": {"type": "integer", "description": "410: what can still be read."},
        "backend": {"type": "string", "description": "501: what the store runs on."},
        "feature": {"type": "string", "description": "501: what that cannot do."},
        "limit": {"type": "integer", "description": "413, 414: the most that is allowed."},
        "got": {"type": "integer", "description": "413, 414: what was sent."},
        "index": {"type": "integer", "description": "422: which operation is wrong."},
        "failed": {
            "type": "array",
            "description": "409: every condition that did not hold.",
            "items": {
                "type": "object",
                "required": ["index", "key", "revision"],
                "properties": {
                    "index": {"type": "integer"},
                    "key": {"type": "string"},
                    "revision": {"type": "integer"},
                },
            },
        },
    },
}


def schemas_of(*kinds: type) -> Json:
    """Schemas of types and of all that they consist of, by name."""
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return dict(schemas)


def problem(status: int, when: str) -> tuple[str, Json]:
    """One answer that is a problem."""
    content = {"application/problem+json": ref("Problem")}
    answer: Json = {"description": when, "content": content}
    return str(status), answer


def problems(*statuses: int) -> Json:
    """Answers that are problems, described by their status alone."""
    return dict(problem(status, HTTPStatus(status).phrase) for status in statuses)


def ref(name: str) -> Json:
    """Content of one of the document's schemas."""
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def either_type(name: str) -> Json:
    """Content that is JSON or CBOR."""
    return {"application/json": ref(name), "application/cbor": ref(name)}


def json_answer(description: str, name: str) -> Json:
    """An answer in JSON."""
    return {"description": description, "content": {"application/json": ref(name)}}


def header(description: str, kind: str = "string") -> Json:
    """A header of an answer."""
    return {"description": description, "schema": {"type": kind}}


def query(name: str, description: str, schema: Json) -> Json:
    """An option in the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def request_header(name: str, description: str) -> Json:
    """A header of a request."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


REVISION_OPTION = query(
    "rev", "As of this revision; by default the last one.", {"type": "integer", "minimum": 0}
)
