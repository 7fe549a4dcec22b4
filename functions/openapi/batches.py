"""``/v1/mget`` and ``/v1/txn``."""

from __future__ import annotations

from rundlet_server.functions.messages.answers import MgetAnswer, TransactionAnswer
from rundlet_server.functions.messages.requests import (
    Add,
    Delete,
    MgetRequest,
    Put,
    Restore,
    Touch,
    Transaction,
)
from rundlet_server.functions.openapi.parts import (
    IDEMPOTENCY_KEY,
    REPLAYED,
    Json,
    either_type,
    link,
    problems,
    schema,
    schemas_of,
)
from rundlet_server.functions.route_table import MGET, TXN
from rundlet_server.storage.interface import Limits

_BASE64_PATTERN = (
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$"
)
_BASE64: Json = {"type": "string", "contentEncoding": "base64"}
_OPERATIONS = (Put, Delete, Add, Touch, Restore)

_COMMITTED: Json = {
    "description": "Done; 'succeeded' is false if 'else' was done.",
    "headers": REPLAYED,
    "content": either_type("TransactionAnswer"),
    "links": {
        "List": link(
            "list_keys", "The keys as this commit left them.", rev="$response.body#/revision"
        )
    },
}

_COMMIT: Json = {
    "operationId": "commit",
    "summary": "Write many keys, all or none, on conditions.",
    "parameters": [IDEMPOTENCY_KEY],
    "requestBody": {"required": True, "content": either_type("Transaction")},
    "responses": {
        "200": _COMMITTED,
        **problems(400, 403, 406, 409, 411, 413, 415, 422, 503, 504, 507),
    },
}

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
                **problems(400, 406, 410, 411, 413, 415, 422, 503),
            },
        }
    },
    TXN.path: {"post": _COMMIT},
}


def batch_schemas(limits: Limits) -> dict[str, Json]:
    """Return the schemas of the types, with exclusions and limits that a type cannot express."""
    schemas = schemas_of(MgetRequest, MgetAnswer, Transaction, TransactionAnswer)
    for operation in _OPERATIONS:
        name = operation.__name__
        _narrow(schemas[name], op={"const": name.lower()}, key=schema("Key"))
    _narrow(schemas["Condition"], key=schema("Key"))
    schemas["Condition"]["not"] = _left_out("revision", "exists", "version")
    _narrow(
        schemas["Put"],
        base64=_or_null(
            {"type": "string", "contentEncoding": "base64", "pattern": _BASE64_PATTERN}
        ),
        content_type=_or_null(schema("ContentType")),
    )
    _members(schemas["Put"]).pop("value")  # JSON has no byte strings
    schemas["Put"]["description"] = "In CBOR, 'value', a byte string, may stand for 'base64'."
    schemas["Put"]["not"] = {"anyOf": [_left_out("text", "base64"), _both_given("text", "base64")]}
    either = {"anyOf": [_left_out("version", "revision"), _both_numbers("version", "revision")]}
    schemas["Restore"]["not"] = either
    keys = {"type": "array", "items": schema("Key"), "maxItems": limits.list_keys_max}
    conditions = _at_most(limits.txn_ops_max, "Condition")
    operations = _at_most(limits.txn_ops_max, "Operation")
    _narrow(schemas["MgetRequest"], keys=keys, at=_or_null(schema("Time")))
    schemas["MgetRequest"]["not"] = {
        "required": ["rev", "at"],
        "properties": {"rev": {"type": "integer"}, "at": {"type": "string"}},
    }
    _narrow(
        schemas["Transaction"],
        **{"if": _or_null(conditions), "then": operations, "else": _or_null(operations)},
    )
    return {**schemas, "Operation": _any_operation()}


def _any_operation() -> Json:
    names = {operation.__name__.lower(): operation.__name__ for operation in _OPERATIONS}
    mapping = {op: f"#/components/schemas/{name}" for op, name in names.items()}
    return {
        "oneOf": [schema(name) for name in names.values()],
        "discriminator": {"propertyName": "op", "mapping": mapping},
    }


def _at_most(count: int, name: str) -> Json:
    return {"type": "array", "items": schema(name), "maxItems": count}


def _members(of: Json) -> Json:
    members = of["properties"]
    assert isinstance(members, dict)
    return members


def _narrow(of: Json, **members: Json) -> None:
    """Replace the schemas of some members, and keep their descriptions."""
    for name, member in members.items():
        said = _members(of)[name]
        assert isinstance(said, dict)
        kept = {key: said[key] for key in ("description",) if key in said and "$ref" not in member}
        _members(of)[name] = {**kept, **member}


def _or_null(of: Json) -> Json:
    """Allow ``null``, which means the same as an absent member."""
    return {"anyOf": [of, {"type": "null"}]}


def _left_out(*names: str) -> Json:
    """Match objects in which all these members are absent or ``null``."""
    return {"properties": {name: {"type": "null"} for name in names}}


def _both_numbers(*names: str) -> Json:
    return {"required": [*names], "properties": {name: {"type": "integer"} for name in names}}


def _both_given(*names: str) -> Json:
    return {"required": [*names], "properties": {name: {"type": "string"} for name in names}}
