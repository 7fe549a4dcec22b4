"""``/v1/history``, ``/v1/history64`` and ``/v1/admin/retention``."""

from __future__ import annotations

from rundlet_server.functions.messages.rollbacks import (
    DiffPage,
    RollbackAnswer,
    RollbackRequest,
)
from rundlet_server.functions.messages.timelines import (
    ERASE_WAIT_S_MAX,
    ErasedAnswer,
    HistoryPage,
    Retention,
)
from rundlet_server.functions.openapi.parts import (
    IDEMPOTENCY_KEY,
    REPLAYED,
    Json,
    either_type,
    header,
    link,
    problems,
    query,
    schema,
    schemas_of,
)
from rundlet_server.functions.route_table import DIFF, HISTORY, HISTORY64, RETENTION, ROLLBACK
from rundlet_server.storage.interface import Limits

_NEXT = header('<...>; rel="next" where there are further pages.')


def _history(route: str, values: str, key_schema: str) -> Json:
    """Return the path for one spelling of keys; ``values`` names the route of values with it."""
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
        "The versions before the newest one.",
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
        "delete": _erase(route),
    }


def _erase(route: str) -> Json:
    done: Json = {
        "description": "No route shows any of them from now on, at any revision.",
        "content": either_type("ErasedAnswer"),
    }
    return {
        "operationId": f"erase_{route}",
        "summary": "Erase every version of a key for good.",
        "parameters": [
            query(
                "wait",
                "Answer when the bytes are gone, or after so many seconds.",
                {"type": "number", "minimum": 0, "maximum": ERASE_WAIT_S_MAX, "default": 0},
            ),
        ],
        "responses": {"200": done, **problems(400, 403, 404, 406, 414, 503, 504, 507)},
    }


_RETENTION_ANSWER: Json = {
    "description": "What is kept.",
    "content": either_type("Retention"),
}

_END: Json = {"anyOf": [schema("Revision"), schema("Time")]}
_DIFF: Json = {
    "operationId": "get_diff",
    "summary": "List the keys that differ between two revisions or times.",
    "parameters": [
        query("from", "A revision or a time; needed without 'cursor'.", _END),
        query("to", "Another one, also an earlier one; by default the head.", _END),
        query("prefix", "Only keys that start with this; empty: all.", {"type": "string"}),
        query("limit", "The most keys on a page.", schema("PageLimit")),
        query(
            "cursor",
            "From 'next', unchanged. It contains both moments, so it excludes 'from' and 'to'.",
            {"type": "string"},
        ),
    ],
    "responses": {
        "200": {
            "description": "One page, in the order of the keys.",
            "headers": {"Link": _NEXT},
            "content": either_type("DiffPage"),
            "links": {
                "Back": link(
                    "get_diff",
                    "The same, the other way round.",
                    **{"from": "$response.body#/to", "to": "$response.body#/from"},
                ),
            },
        },
        **problems(400, 406, 410, 503),
    },
}
_ROLLBACK: Json = {
    "operationId": "roll_back",
    "summary": "Make keys hold what they held at a revision or a time.",
    "parameters": [IDEMPOTENCY_KEY],
    "requestBody": {"required": True, "content": either_type("RollbackRequest")},
    "responses": {
        "200": {
            "description": "Done in one transaction; of a dry run, what it would do.",
            "headers": REPLAYED,
            "content": either_type("RollbackAnswer"),
            "links": {
                "List": link(
                    "list_keys",
                    "The keys as this commit left them.",
                    rev="$response.body#/revision",
                )
            },
        },
        **problems(400, 403, 406, 409, 410, 411, 413, 415, 422, 503, 504, 507),
    },
}

HISTORY_PATHS: dict[str, Json] = {
    HISTORY.path: _history("history", "kv", "PathKey"),
    HISTORY64.path: _history("history64", "kv64", "Base64UrlKey"),
    DIFF.path: {"get": _DIFF},
    ROLLBACK.path: {"post": _ROLLBACK},
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


def history_schemas(limits: Limits) -> dict[str, Json]:
    """Return the schemas of the types, with rules that a type cannot express."""
    schemas = schemas_of(
        *(HistoryPage, ErasedAnswer, Retention, DiffPage, RollbackRequest, RollbackAnswer)
    )
    asked = schemas["RollbackRequest"]
    keys: Json = {"type": "array", "items": schema("Key"), "maxItems": limits.list_keys_max}
    prefix: Json = {"type": "string"}
    asked["properties"] = {
        "to": {"description": "A revision or a time.", **_END},
        "prefix": {"description": "All keys that start with it; '': all.", **_or_null(prefix)},
        "keys": {"description": "These keys, instead of a prefix.", **_or_null(keys)},
        "dry_run": {
            "description": "Only report what would be done.",
            **_or_null({"type": "boolean"}),
        },
    }
    null: Json = {"type": "null"}
    neither: Json = {"properties": {"prefix": null, "keys": null}}
    both: Json = {
        "required": ["prefix", "keys"],
        "properties": {"prefix": {"type": "string"}, "keys": {"type": "array"}},
    }
    asked["not"] = {"anyOf": [neither, both]}
    return schemas


def _or_null(of: Json) -> Json:
    """Allow ``null``, which means the same as an absent member."""
    return {"anyOf": [of, {"type": "null"}]}
