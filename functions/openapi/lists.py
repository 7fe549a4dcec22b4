"""``/v1/keys``."""

from __future__ import annotations

from rundlet_server.functions.messages.answers import DeletionAnswer, KeyPage
from rundlet_server.functions.openapi.parts import (
    IDEMPOTENCY_KEY,
    REPLAYED,
    REVISION_OPTION,
    TIME_OPTION,
    Json,
    either_type,
    header,
    link,
    problems,
    query,
    schema,
    schemas_of,
)
from rundlet_server.functions.route_table import KEYS
from rundlet_server.storage.bounds import GLOB_CHARACTERS_MAX

_TEXT: Json = {"type": "string"}

_MATCH = query(
    "match",
    "Only keys whose rest after the prefix matches this glob: '*' is any text, '/' included, '?'"
    " any character, '[abc]' one of them. A page of a list may hold few keys or none even if it"
    " has a 'next'. It excludes 'delimiter'.",
    {"type": "string", "minLength": 1, "maxLength": GLOB_CHARACTERS_MAX},
)

_OPTIONS = [
    query("prefix", "Only keys that start with this; empty: all.", _TEXT),
    _MATCH,
    query("start", "Only keys that are not before this; empty: no bound.", _TEXT),
    query("end", "Only keys before this; empty: no bound.", _TEXT),
    query("limit", "The most keys and prefixes on a page.", schema("PageLimit")),
    query("reverse", "Descending order; without a value: true.", schema("Flag")),
    query(
        "delimiter",
        "Roll up keys that have this after the prefix into 'prefixes'.",
        {"type": "string", "minLength": 1},
    ),
    query(
        "include",
        "'value': give the values too; 'meta': give metadata too; both with a comma between them.",
        schema("Included"),
    ),
    REVISION_OPTION,
    TIME_OPTION,
    query(
        "cursor",
        "From 'next', unchanged: continues in the same snapshot of the same store. It contains a"
        " revision, so it excludes 'rev' and 'at'.",
        _TEXT,
    ),
]

_LINK = header('<...>; rel="next" where there are further pages.')

_GET_ANSWERS: Json = {
    "200": {
        "description": "One page of a snapshot.",
        "headers": {"Link": _LINK},
        "content": either_type("KeyPage"),
        "links": {
            "First": link(
                "get_kv",
                "The first value on the page, as it is in the snapshot.",
                key="$response.body#/keys/0/key",
                rev="$response.body#/revision",
            ),
            "Again": link("list_keys", "The same snapshot again.", rev="$response.body#/revision"),
        },
    },
    **problems(400, 406, 410, 503),
}

_HEAD_ANSWERS: Json = {
    "200": {
        "description": "The count of all keys, without the length and the Link of a page.",
        "headers": {
            "KV-Count": header("Keys on all pages together.", schema("Count")),
        },
    },
    **problems(400, 406, 410, 503),
}

_DELETE: Json = {
    "operationId": "delete_keys",
    "summary": "Delete all keys with a prefix, if there are as many as expected.",
    "parameters": [
        {
            **query("prefix", "Keys that start with this.", {"type": "string", "minLength": 1}),
            "required": True,
        },
        _MATCH,
        {
            **query("expect", "How many keys there are; otherwise 412.", schema("KeyCount")),
            "required": True,
        },
        query(
            "atomic",
            "'false': delete in several transactions, so also more than txn_ops_max keys; it"
            " excludes Idempotency-Key.",
            {**schema("Flag"), "default": True},
        ),
        IDEMPOTENCY_KEY,
    ],
    "responses": {
        "200": {
            "description": "All of them are deleted.",
            "headers": REPLAYED,
            "content": either_type("DeletionAnswer"),
        },
        **problems(400, 403, 406, 409, 410, 412, 413, 422, 503, 504, 507),
    },
}

LIST_PATHS: dict[str, Json] = {
    KEYS.path: {
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
        "delete": _DELETE,
    }
}

LIST_SCHEMAS: dict[str, Json] = {
    "Include": {"type": "string", "enum": ["value"]},
    "Included": {"type": "string", "enum": ["value", "meta", "value,meta", "meta,value"]},
    **schemas_of(KeyPage, DeletionAnswer),
}
