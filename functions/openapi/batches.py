"""``/v1/mget`` and ``/v1/txn``."""

from __future__ import annotations

from typing import Final

from rundlet_server.functions.messages.operations import NUMBER_MIN
from rundlet_server.functions.messages.query import REVISION_MAX
from rundlet_server.functions.openapi.parts import Json, either_type, link, problems, schema
from rundlet_server.functions.route_table import MGET, TXN
from rundlet_server.storage.interface import Limits

_TEXT: Json = {"type": "string"}
_BASE64_PATTERN = (
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$"
)
_BASE64: Json = {"type": "string", "contentEncoding": "base64", "pattern": _BASE64_PATTERN}
_BYTE_STRING: Json = {"description": "The value as a byte string, in CBOR."}
_NUMBER: Json = {"type": "integer", "minimum": NUMBER_MIN, "maximum": REVISION_MAX}


def _or_null(of: Json, **more: object) -> Json:
    """``null`` is the same as leaving the member out."""
    return {"anyOf": [of, {"type": "null"}], **more}


BATCH_PATHS: dict[str, Json] = {
    MGET.path: {
        "post": {
            "operationId": "get_many",
            "summary": "Read many values of one snapshot.",
            "requestBody": {"required": True, "content": either_type("MgetRequest")},
            "responses": {
                "200": {
                    "description": "One item for each key, in the order asked.",
                    "content": either_type("MgetAnswer"),
                    "links": {
                        "List": link(
                            "list_keys",
                            "The keys of the same snapshot.",
                            rev="$response.body#/revision",
                        )
                    },
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
                    "description": "Done; 'succeeded' is false if 'else' was done.",
                    "content": either_type("TransactionAnswer"),
                    "links": {
                        "List": link(
                            "list_keys",
                            "The keys as this commit left them.",
                            rev="$response.body#/revision",
                        )
                    },
                },
                **problems(400, 403, 406, 409, 411, 413, 415, 422, 503, 504, 507),
            },
        }
    },
}


def _op(name: str, properties: Json, *required: str) -> Json:
    return {
        "type": "object",
        "required": ["op", "key", *required],
        "additionalProperties": False,
        "properties": {"op": {"const": name}, "key": schema("Key"), **properties},
    }


def _left_out(*names: str) -> Json:
    """Each of some members is absent or ``null``."""
    return {"properties": {name: {"type": "null"} for name in names}}


def _both_given(*names: str) -> Json:
    return {"required": [*names], "properties": {name: {"type": "string"} for name in names}}


def batch_schemas(limits: Limits) -> dict[str, Json]:
    """The components; ``limits`` are those of the store."""
    operations: Json = {
        "type": "array",
        "items": schema("Operation"),
        "maxItems": limits.txn_ops_max,
        "description": "Each key at most once.",
    }
    conditions = {"type": "array", "items": schema("Condition"), "maxItems": limits.txn_ops_max}
    keys = {"type": "array", "items": schema("Key"), "maxItems": limits.list_keys_max}
    return {
        "MgetRequest": {
            "type": "object",
            "required": ["keys"],
            "additionalProperties": False,
            "properties": {"keys": keys, "rev": _or_null(schema("Revision"))},
        },
        "Transaction": {
            "type": "object",
            "required": ["then"],
            "additionalProperties": False,
            "properties": {
                "if": _or_null(conditions),
                "then": operations,
                "else": _or_null(operations),
            },
        },
        **_SCHEMAS,
    }


_OPERATIONS: Final = {
    "put": "PutOperation",
    "delete": "DeleteOperation",
    "add": "AddOperation",
    "touch": "TouchOperation",
    "restore": "RestoreOperation",
}
_SCHEMAS: dict[str, Json] = {
    "MgetAnswer": {
        "type": "object",
        "required": ["revision", "items"],
        "properties": {
            "revision": schema("Revision"),
            "items": {"type": "array", "items": schema("MgetItem")},
        },
    },
    "MgetItem": {
        "type": "object",
        "required": ["key", "found"],
        "properties": {
            "key": schema("Key"),
            "found": {"type": "boolean"},
            "revision": schema("Revision"),
            "version": schema("Version"),
            "content_type": _TEXT,
            "expires": {"type": "string", "format": "date-time"},
            "text": _TEXT,
            "base64": _BASE64,
            "value": _BYTE_STRING,
        },
    },
    "Condition": {
        "type": "object",
        "required": ["key"],
        "additionalProperties": False,
        "not": _left_out("revision", "exists", "version"),
        "properties": {
            "key": schema("Key"),
            "revision": _or_null(schema("Revision"), description="0: the key has no value."),
            "exists": {"type": ["boolean", "null"]},
            "version": _or_null(schema("Version")),
        },
    },
    "Operation": {
        "oneOf": [schema(name) for name in _OPERATIONS.values()],
        "discriminator": {
            "propertyName": "op",
            "mapping": {op: f"#/components/schemas/{name}" for op, name in _OPERATIONS.items()},
        },
    },
    "PutOperation": {
        **_op(
            "put",
            {
                "text": _or_null(_TEXT, description="The value, in JSON."),
                "base64": _or_null(_BASE64, description="The value, if it is not text."),
                "content_type": _or_null(schema("ContentType")),
                "ttl": _or_null(schema("TtlSeconds")),
            },
        ),
        "description": "In CBOR, 'value', a byte string, may stand for 'text' and 'base64'.",
        "not": {"anyOf": [_left_out("text", "base64"), _both_given("text", "base64")]},
    },
    "DeleteOperation": _op("delete", {}),
    "AddOperation": _op("add", {"by": _or_null(_NUMBER, default=1)}),
    "TouchOperation": _op("touch", {"ttl": _or_null(schema("TtlSeconds"))}),
    "RestoreOperation": _op("restore", {"version": schema("Version")}, "version"),
    "TransactionAnswer": {
        "type": "object",
        "required": ["succeeded", "revision", "results"],
        "properties": {
            "succeeded": {"type": "boolean"},
            "revision": schema("Revision"),
            "results": {"type": "array", "items": schema("OperationResult")},
        },
    },
    "OperationResult": {
        "type": "object",
        "properties": {
            "found": {"type": "boolean", "description": "delete: there was one."},
            "version": {"type": "integer", "description": "Of the key now."},
            "number": {"type": "integer", "description": "add: the new number."},
        },
    },
}
