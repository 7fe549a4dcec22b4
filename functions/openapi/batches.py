"""``/v1/mget`` and ``/v1/txn``."""

from __future__ import annotations

from rundlet_server.functions.openapi.parts import Json, either_type, problems
from rundlet_server.functions.route_table import MGET, TXN

_KEY: Json = {"type": "string", "minLength": 1}
_TTL: Json = {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds."}
_TEXT: Json = {"type": ["string", "null"]}  # null is the same as leaving a member out

BATCH_PATHS: Json = {
    MGET.path: {
        "post": {
            "operationId": "get_many",
            "summary": "Read many values of one snapshot.",
            "requestBody": {"required": True, "content": either_type("MgetRequest")},
            "responses": {
                "200": {
                    "description": "One item for each key, in the order asked.",
                    "content": either_type("MgetAnswer"),
                },
                **problems(400, 406, 410, 411, 413, 415, 422),
            },
        }
    },
    TXN.path: {
        "post": {
            "operationId": "commit",
            "summary": "Write many keys, all or none, on conditions.",
            "requestBody": {"required": True, "content": either_type("Transaction")},
            "responses": {
                "200": {
                    "description": "Done; 'succeeded' is false where 'else' was done.",
                    "content": either_type("TransactionAnswer"),
                },
                **problems(400, 403, 406, 409, 411, 413, 415, 422, 503, 504, 507),
            },
        }
    },
}


def _op(name: str, required: list[str], properties: Json) -> Json:
    return {
        "type": "object",
        "required": ["op", "key", *required],
        "additionalProperties": False,
        "properties": {"op": {"const": name}, "key": _KEY, **properties},
    }


_OPERATION: Json = {
    "oneOf": [
        _op(
            "put",
            [],
            {
                "text": {**_TEXT, "description": "The value, in JSON."},
                "base64": {**_TEXT, "description": "Or so, in JSON."},
                "value": {"description": "The value as a byte string, in CBOR."},
                "content_type": _TEXT,
                "ttl": _TTL,
            },
        ),
        _op("delete", [], {}),
        _op("add", [], {"by": {"type": ["integer", "null"], "default": 1}}),
        _op("touch", [], {"ttl": _TTL}),
        _op("restore", ["version"], {"version": {"type": "integer", "minimum": 1}}),
    ]
}

_ITEM: Json = {
    "type": "object",
    "required": ["key", "found"],
    "properties": {
        "key": {"type": "string"},
        "found": {"type": "boolean"},
        "revision": {"type": "integer"},
        "version": {"type": "integer"},
        "content_type": {"type": "string"},
        "expires": {"type": "string", "format": "date-time"},
        "text": {"type": "string"},
        "base64": {"type": "string", "contentEncoding": "base64"},
        "value": {"description": "The value as a byte string, in CBOR."},
    },
}

BATCH_SCHEMAS: Json = {
    "MgetRequest": {
        "type": "object",
        "required": ["keys"],
        "additionalProperties": False,
        "properties": {
            "keys": {"type": "array", "items": _KEY, "description": "How many: see /v1."},
            "rev": {"type": ["integer", "null"], "minimum": 0},
        },
    },
    "MgetAnswer": {
        "type": "object",
        "required": ["revision", "items"],
        "properties": {
            "revision": {"type": "integer"},
            "items": {"type": "array", "items": _ITEM},
        },
    },
    "Condition": {
        "type": "object",
        "required": ["key"],
        "additionalProperties": False,
        "minProperties": 2,
        "properties": {
            "key": _KEY,
            "revision": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "0: has no value.",
            },
            "exists": {"type": ["boolean", "null"]},
            "version": {"type": ["integer", "null"], "minimum": 1},
        },
    },
    "Operation": _OPERATION,
    "Transaction": {
        "type": "object",
        "required": ["then"],
        "additionalProperties": False,
        "properties": {
            "if": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Condition"}},
            "then": {"type": "array", "items": {"$ref": "#/components/schemas/Operation"}},
            "else": {
                "type": ["array", "null"],
                "items": {"$ref": "#/components/schemas/Operation"},
            },
        },
    },
    "TransactionAnswer": {
        "type": "object",
        "required": ["succeeded", "revision", "results"],
        "properties": {
            "succeeded": {"type": "boolean"},
            "revision": {"type": "integer"},
            "results": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "found": {"type": "boolean", "description": "delete: there was one."},
                        "version": {"type": "integer", "description": "Of the key now."},
                        "number": {"type": "integer", "description": "add: the new number."},
                    },
                },
            },
        },
    },
}
