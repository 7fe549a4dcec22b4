"""``/v1/keys``."""

from __future__ import annotations

from rundlet_server.functions.messages.answers import KeyPage
from rundlet_server.functions.openapi.parts import (
    REVISION_OPTION,
    Json,
    either_type,
    header,
    problems,
    query,
    schemas_of,
)

_TEXT: Json = {"type": "string"}

_OPTIONS = [
    query("prefix", "Only keys that start with this.", _TEXT),
    query("start", "Only keys that are not before this.", _TEXT),
    query("end", "Only keys before this.", _TEXT),
    query(
        "limit",
        "The most keys and prefixes on a page.",
        {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000},
    ),
    query(
        "reverse",
        "Descending order.",
        {"enum": ["", "true", "1", "false", "0"], "default": "false"},  # empty: true
    ),
    query(
        "delimiter",
        "Roll up keys that have this after the prefix into 'prefixes'.",
        {"type": "string", "minLength": 1},
    ),
    query("include", "'value': give the values too.", {"type": "string", "enum": ["value"]}),
    REVISION_OPTION,
    query("cursor", "From 'next': goes on in the same snapshot.", _TEXT),
]

_LINK = header('<...>; rel="next" where there are further pages.')

_GET_ANSWERS: Json = {
    "200": {
        "description": "One page of a snapshot.",
        "headers": {"Link": _LINK},
        "content": either_type("KeyPage"),
    },
    **problems(400, 406, 410),
}

_HEAD_ANSWERS: Json = {
    "200": {
        "description": "The headers of a page, and the count of all keys.",
        "headers": {
            "Link": _LINK,
            "KV-Count": header("Keys on all pages together.", "integer"),
        },
    },
    **problems(400, 406, 410),
}

LIST_PATHS: Json = {
    "/v1/keys": {
        "get": {
            "operationId": "list_keys",
            "summary": "List keys in order of their UTF-8 bytes.",
            "parameters": _OPTIONS,
            "responses": _GET_ANSWERS,
        },
        "head": {
            "operationId": "count_keys",
            "summary": "Count the keys of a list.",
            "parameters": _OPTIONS,
            "responses": _HEAD_ANSWERS,
        },
    }
}

LIST_SCHEMAS = schemas_of(KeyPage)
