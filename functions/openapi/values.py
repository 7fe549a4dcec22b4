"""``/v1/kv`` and ``/v1/kv64``."""

from __future__ import annotations

from rundlet_server.functions.openapi.parts import (
    IDEMPOTENCY_KEY,
    REPLAYED,
    REVISION_OPTION,
    TIME_OPTION,
    Json,
    header,
    link,
    problems,
    query,
    request_header,
    schema,
)
from rundlet_server.functions.route_table import KV, KV64, SERVICE
from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    METADATA_BYTES_MAX,
    METADATA_COUNT_MAX,
    METADATA_NAME_BYTES_MAX,
)

_REVISION_HEADERS: Json = {
    "ETag": header("Strong and opaque; changes with every write of the key."),
    "KV-Revision": header("Revision of the commit that wrote the value.", schema("Revision")),
    "KV-Version": header("n-th write of the key since it was created.", schema("Version")),
}

_VALUE_HEADERS: Json = {
    **_REVISION_HEADERS,
    "Last-Modified": header("When the value was written."),
    "Accept-Ranges": header("bytes"),
    "Cache-Control": header("no-cache"),
    "X-Content-Type-Options": header("nosniff"),
    "Content-Security-Policy": header("sandbox"),
    "KV-Expires": header("RFC 3339, if the value expires."),
    "KV-Meta-NAME": header("Metadata stored with the value, a header for each NAME."),
}

_WAITED: Json = {
    "Preference-Applied": header("wait=N, if the request waited for a change."),
}

_BYTES: Json = {"schema": {"type": "string", "format": "binary"}}
_SENT_BYTES: Json = {"application/octet-stream": _BYTES}
_STORED_BYTES: Json = {"application/octet-stream": _BYTES, "*/*": {}}
"""The stored bytes with the stored content type."""

_PLACES = [
    REVISION_OPTION,
    TIME_OPTION,
    query(
        "version",
        "The n-th write of the key since it was last created; excludes 'rev' and 'at'.",
        schema("Version"),
    ),
]
_READ_CONDITIONS = [
    request_header("If-Match", "* or entity tags; 412 unless one of them is the value's."),
    request_header("If-None-Match", "* or entity tags; 304 if one of them is the value's."),
    request_header("If-Modified-Since", "A date; 304 unless the value was written since."),
    request_header("If-Unmodified-Since", "A date; 412 if the value was written since."),
    request_header(
        "Prefer",
        "wait=N: if If-None-Match would lead to 304, wait so many seconds for a change.",
    ),
]

_WRITE_CONDITIONS = [
    request_header(
        "If-Match",
        "* for a key that has a value, or the entity tags that it may have; otherwise 412."
        " Decided in the same commit.",
        schema("EntityTags"),
    ),
    request_header(
        "If-None-Match",
        "* for a key that has no value, or the entity tags that it may not have; otherwise 412."
        " Decided in the same commit.",
        schema("EntityTags"),
    ),
    request_header("If-Unmodified-Since", "A date; 412 if the value was written since."),
]


def _read(method: str, route: str) -> Json:
    headers = {**_VALUE_HEADERS, **_WAITED}
    whole = {"description": "The value.", "headers": headers, "links": _links(route)}
    answers: Json = {
        "304": {"description": "Not modified.", "headers": {**_REVISION_HEADERS, **_WAITED}},
        **problems(400, 404, 410, 412, 414, 503),
    }
    ranges = []
    if method == "get":
        ranges = [
            request_header("Range", "One range of bytes; several are answered with the whole."),
            request_header("If-Range", "An entity tag; the range counts only if it is current."),
        ]
        part_headers = {**headers, "Content-Range": header("The range and the size.")}
        answers["200"] = {**whole, "content": _STORED_BYTES}
        answers["206"] = {
            "description": "The bytes asked for.",
            "headers": part_headers,
            "content": _STORED_BYTES,
        }
        answers |= problems(416)
    else:
        answers["200"] = whole
    return {
        "operationId": f"{method}_{route}",
        "summary": "Read a value." if method == "get" else "Read the headers of a value.",
        "parameters": [*_PLACES, *_READ_CONDITIONS, *ranges],
        "responses": answers,
    }


def _put(route: str) -> Json:
    answer: Json = {"headers": {**_REVISION_HEADERS, **REPLAYED}, "links": _links(route)}
    return {
        "operationId": f"put_{route}",
        "summary": "Store a value.",
        "parameters": [
            query("ttl", "By default the value does not expire.", schema("TtlSeconds")),
            request_header(
                "KV-Meta-NAME",
                f"Metadata to store with the value, a header for each NAME: at most"
                f" {METADATA_COUNT_MAX}, of 1 to {METADATA_NAME_BYTES_MAX} letters, digits and '-'."
                f" Names and texts have at most {METADATA_BYTES_MAX} bytes together. What is not"
                " printable ASCII is percent-encoded UTF-8, and so is '%'.",
                schema("MetadataText"),
            ),
            *_WRITE_CONDITIONS,
            IDEMPOTENCY_KEY,
        ],
        "requestBody": {
            "description": (
                f"The value, at most value_bytes_max bytes (see {SERVICE.path}). It may have any"
                f" Content-Type of printable ASCII and at most {CONTENT_TYPE_BYTES_MAX} characters,"
                " which is stored with it."
            ),
            "required": True,
            "content": _SENT_BYTES,
        },
        "responses": {
            "201": {"description": "The key is new.", **answer},
            "204": {"description": "The value was replaced.", **answer},
            **problems(400, 403, 411, 412, 413, 414, 415, 422, 431, 503, 504, 507),
        },
    }


def _delete(route: str) -> Json:
    revision = {
        "KV-Revision": header("Revision of the deletion.", schema("Revision")),
        **REPLAYED,
    }
    return {
        "operationId": f"delete_{route}",
        "summary": "Remove a value.",
        "parameters": [*_WRITE_CONDITIONS, IDEMPOTENCY_KEY],
        "responses": {
            "204": {"description": "The value was removed.", "headers": revision},
            **problems(400, 403, 404, 412, 414, 422, 503, 504, 507),
        },
    }


def _links(route: str) -> Json:
    """Return links to the operations on a value whose headers an answer has."""
    key = "$request.path.key"
    tag = {"If-Match": "$response.header.ETag"}
    revision = "$response.header.KV-Revision"
    return {
        "Read": link(f"get_{route}", "The value at this revision.", key=key, rev=revision),
        "Version": link(
            f"get_{route}", "This version again.", key=key, version="$response.header.KV-Version"
        ),
        "Replace": link(f"put_{route}", "Only if it is still this one.", key=key, **tag),
        "Remove": link(f"delete_{route}", "Only if it is still this one.", key=key, **tag),
    }


def _path_item(route: str, key_schema: str) -> Json:
    key: Json = {
        "name": "key",
        "in": "path",
        "required": True,
        "description": "The key.",
        "schema": schema(key_schema),
    }
    return {
        "parameters": [key],
        "get": _read("get", route),
        "head": _read("head", route),
        "put": _put(route),
        "delete": _delete(route),
    }


VALUE_PATHS: dict[str, Json] = {
    KV.path: _path_item("kv", "PathKey"),
    KV64.path: _path_item("kv64", "Base64UrlKey"),
}
