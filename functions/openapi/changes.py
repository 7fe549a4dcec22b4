"""``/v1/changes``."""

from __future__ import annotations

from rundlet_server.functions.feeds.events import NDJSON_TYPE, SSE_TYPE, ChangePage
from rundlet_server.functions.openapi.parts import (
    Json,
    either_type,
    link,
    problems,
    query,
    ref,
    request_header,
    schema,
    schemas_of,
)
from rundlet_server.functions.route_table import CHANGES

_OPTIONS = [
    query(
        "since",
        "Only commits after this revision, which must not be beyond the head; by default: from now"
        " on.",
        schema("Revision"),
    ),
    query("prefix", "Only keys that start with this; empty: all.", {"type": "string"}),
    query(
        "limit",
        "The most events on a page; only a single commit with more events exceeds it. Not for"
        " streams.",
        schema("PageLimit"),
    ),
    query("include", "'value': give the values too.", schema("Include")),
    query(
        "wait",
        "If there are no events yet, wait so many seconds for one. Not for streams.",
        schema("WaitSeconds"),
    ),
    request_header(
        "Last-Event-ID",
        "In place of 'since', for server-sent events: browsers send it when they connect again.",
    ),
]

_CONTENT: Json = {
    **either_type("ChangePage"),
    SSE_TYPE: ref("Stream"),
    NDJSON_TYPE: ref("Stream"),
}

_ANSWERS: Json = {
    "200": {
        "description": (
            "Whole commits in order. A stream of server-sent events gives the last event of"
            " each commit the commit's revision as id; the other stream has an event on"
            " each line. Both send the reached position every 15 s."
        ),
        "content": _CONTENT,
        "links": {
            "Next": link("get_changes", "The next page.", since="$response.body#/next_since"),
        },
    },
    **problems(400, 406, 410, 503),
}

CHANGE_PATHS: dict[str, Json] = {
    CHANGES.path: {
        "get": {
            "operationId": "get_changes",
            "summary": "Follow all changes: pages, or a stream that goes on.",
            "parameters": _OPTIONS,
            "responses": _ANSWERS,
        },
    }
}


def change_schemas(wait_s_max: float) -> dict[str, Json]:
    """Return the components; ``wait_s_max`` is the limit of the server."""
    return {
        "Stream": {"type": "string"},
        "WaitSeconds": {"type": "number", "minimum": 0, "maximum": wait_s_max, "default": 0},
        **schemas_of(ChangePage),
    }
