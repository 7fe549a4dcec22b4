"""``/v1/history``, ``/v1/history64`` and ``/v1/admin/retention``."""

from __future__ import annotations

from rundlet_server.functions.messages.timelines import HistoryPage, Retention
from rundlet_server.functions.openapi.parts import (
    Json,
    either_type,
    header,
    link,
    problems,
    query,
    schema,
    schemas_of,
)
from rundlet_server.functions.route_table import HISTORY, HISTORY64, RETENTION

_NEXT = header('<...>; rel="next" where there are further pages.')


def _history(route: str, values: str, key_schema: str) -> Json:
    """The path of one of the two spellings of a key; ``values`` names its route of values."""
    key: Json = {
        "name": "key",
        "in": "path",
        "required": True,
        "description": "The key.",
        "schema": schema(key_schema),
    }
    newest = link(
        f"get_{values}",
        "The value of the newest version.",
        key="$request.path.key",
        rev="$response.body#/versions/0/revision",
    )
    older = link(
        f"get_{route}",
        "What is older than the newest version.",
        key="$request.path.key",
        before="$response.body#/versions/0/revision",
    )
    page: Json = {
        "description": "One page; a key that was deleted has a history, too.",
        "headers": {"Link": _NEXT},
        "content": either_type("HistoryPage"),
        "links": {"Newest": newest, "Older": older},
    }
    answers: Json = {"200": page, **problems(400, 404, 406, 414, 503)}
    return {
        "parameters": [key],
        "get": {
            "operationId": f"get_{route}",
            "summary": "List the kept versions of a key, newest first.",
            "parameters": [
                query("limit", "The most versions on a page.", schema("PageLimit")),
                query("before", "Only revisions below this.", schema("Revision")),
            ],
            "responses": answers,
        },
    }


_RETENTION_ANSWER: Json = {
    "description": "What is kept.",
    "content": either_type("Retention"),
}

HISTORY_PATHS: dict[str, Json] = {
    HISTORY.path: _history("history", "kv", "PathKey"),
    HISTORY64.path: _history("history64", "kv64", "Base64UrlKey"),
    RETENTION.path: {
        "get": {
            "operationId": "get_retention",
            "summary": "Read which history the store keeps.",
            "responses": {"200": _RETENTION_ANSWER, **problems(400, 406)},
        },
        "put": {
            "operationId": "put_retention",
            "summary": "Change which history the store keeps.",
            "requestBody": {"required": True, "content": either_type("Retention")},
            "responses": {
                "200": _RETENTION_ANSWER,
                **problems(400, 403, 406, 411, 413, 415, 422, 503, 507),
            },
        },
    },
}

HISTORY_SCHEMAS: dict[str, Json] = schemas_of(HistoryPage, Retention)
