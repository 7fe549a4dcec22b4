"""``/v1/kv`` and ``/v1/kv64``."""

from __future__ import annotations

from rundlet_server.functions.openapi.parts import (
    REVISION_OPTION,
    Json,
    header,
    problems,
    query,
    request_header,
)
from rundlet_server.functions.route_table import KV, KV64

_REVISION_HEADERS: Json = {
    "ETag": header("Strong and opaque; changes with every write of the key."),
    "KV-Revision": header("Revision of the commit that wrote the value.", "integer"),
    "KV-Version": header("n-th write of the key since it was created.", "integer"),
}

_VALUE_HEADERS: Json = {
    **_REVISION_HEADERS,
    "Last-Modified": header("When the value was written."),
    "Accept-Ranges": header("bytes"),
    "Cache-Control": header("no-cache"),
    "X-Content-Type-Options": header("nosniff"),
    "Content-Security-Policy": header("sandbox"),
    "KV-Expires": header("RFC 3339, where the value expires."),
}

_ANY_BYTES: Json = {"*/*": {}}

_READ_CONDITIONS = [
    request_header("If-Match", "Entity tags; 412 unless one of them is the value's."),
    request_header("If-None-Match", "Entity tags; 304 if one of them is the value's."),
    request_header("If-Modified-Since", "A date; 304 unless written since."),
    request_header("If-Unmodified-Since", "A date; 412 if written since."),
]

_WRITE_CONDITIONS = [
    request_header("If-Match", "Entity tags or *; else 412. Decided in the same commit."),
    request_header("If-None-Match", "* for a new key only; else 412. Decided in the same commit."),
    request_header("If-Unmodified-Since", "A date; 412 if written since."),
]


def _read(method: str, route: str) -> Json:
    whole = {"description": "The value.", "headers": _VALUE_HEADERS}
    answers: Json = {
        "304": {"description": "Not modified.", "headers": _REVISION_HEADERS},
        **problems(400, 404, 410, 412, 414),
    }
    ranges = []
    if method == "get":
        ranges = [
            request_header("Range", "One range of bytes; several are answered with the whole."),
            request_header("If-Range", "An entity tag; the range counts only if it is current."),
        ]
        part_headers = {**_VALUE_HEADERS, "Content-Range": header("Which bytes of how many.")}
        answers["200"] = {**whole, "content": _ANY_BYTES}
        answers["206"] = {
            "description": "The bytes asked for.",
            "headers": part_headers,
            "content": _ANY_BYTES,
        }
        answers |= problems(416)
    else:
        answers["200"] = whole
    return {
        "operationId": f"{method}_{route}",
        "summary": "Read a value." if method == "get" else "Read the headers of a value.",
        "parameters": [REVISION_OPTION, *_READ_CONDITIONS, *ranges],
        "responses": answers,
    }


def _put(route: str) -> Json:
    ttl: Json = {"type": "number", "exclusiveMinimum": 0}
    return {
        "operationId": f"put_{route}",
        "summary": "Store a value.",
        "parameters": [
            query("ttl", "Seconds until the value expires; by default it does not.", ttl),
            *_WRITE_CONDITIONS,
        ],
        "requestBody": {
            "description": "The value; its Content-Type is stored with it.",
            "required": True,
            "content": _ANY_BYTES,
        },
        "responses": {
            "201": {"description": "The key is new.", "headers": _REVISION_HEADERS},
            "204": {"description": "The value was replaced.", "headers": _REVISION_HEADERS},
            **problems(400, 403, 411, 412, 413, 414, 415, 503, 504, 507),
        },
    }


def _delete(route: str) -> Json:
    revision = {"KV-Revision": header("Revision of the deletion.", "integer")}
    return {
        "operationId": f"delete_{route}",
        "summary": "Remove a value.",
        "parameters": _WRITE_CONDITIONS,
        "responses": {
            "204": {"description": "The value was removed.", "headers": revision},
            **problems(400, 403, 404, 412, 414, 503, 504, 507),
        },
    }


def _path_item(route: str, description: str) -> Json:
    key: Json = {
        "name": "key",
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }
    return {
        "parameters": [key],
        "get": _read("get", route),
        "head": _read("head", route),
        "put": _put(route),
        "delete": _delete(route),
    }


VALUE_PATHS: Json = {
    KV.path: _path_item("kv", "The rest of the path, slashes included, percent-encoded."),
    KV64.path: _path_item("kv64", "The key's UTF-8 bytes as base64url without padding."),
}
