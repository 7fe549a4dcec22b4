"""``/v1/export`` and ``/v1/import``."""

from __future__ import annotations

from rundlet_server.functions.openapi.parts import (
    REVISION_OPTION,
    Json,
    either_type,
    header,
    problems,
    query,
    schema,
)
from rundlet_server.functions.route_table import EXPORT, IMPORT
from rundlet_server.functions.transfer.formats import EXPORTED, MEDIA_TYPES, Format, OnConflict
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE

_TEXT: Json = {"type": "string"}
_BINARY: Json = {"type": "string", "format": "binary"}


def _one_of(names: type[Format] | type[OnConflict] | tuple[Format, ...]) -> Json:
    return {"type": "string", "enum": [str(name) for name in names]}


def _content(names: type[Format] | tuple[Format, ...]) -> Json:
    return {MEDIA_TYPES[name]: {"schema": _BINARY} for name in names}


_EXPORTED: Json = {
    "description": (
        "A row for each key. If the export breaks off, the last chunk is"
        " missing, or the body ends with bytes that are no row."
    ),
    "headers": {
        "KV-Revision": header("The snapshot.", schema("Revision")),
        "Content-Encoding": header("gzip, if Accept-Encoding names it."),
    },
    "content": _content(EXPORTED),
}

_IMPORT_BODIES: Json = {
    **_content(Format),
    # With the option 'format': generators of clients know this type and none of the others.
    DEFAULT_CONTENT_TYPE: {"schema": _BINARY},
}
_IMPORTED: Json = {
    "description": "All rows are stored or skipped.",
    "content": either_type("ImportAnswer"),
}


_EXPORT_ANSWERS: Json = {"200": _EXPORTED, **problems(400, 410, 503, 505)}
_IMPORT_ANSWERS: Json = {
    "200": _IMPORTED,
    **problems(400, 403, 406, 409, 411, 413, 415, 422, 503, 504, 507),
}

TRANSFER_PATHS: dict[str, Json] = {
    EXPORT.path: {
        "get": {
            "operationId": "export_keys",
            "summary": "Send all keys and values of one snapshot.",
            "parameters": [
                query("prefix", "Only keys that start with this; empty: all.", _TEXT),
                REVISION_OPTION,
                query(
                    "at",
                    "As of this time (RFC 3339); it excludes 'rev'.",
                    {"type": "string", "format": "date-time"},
                ),
                query("format", "By default jsonl.", _one_of(EXPORTED)),
            ],
            "responses": _EXPORT_ANSWERS,
        }
    },
    IMPORT.path: {
        "post": {
            "operationId": "import_keys",
            "summary": "Store the rows of an export, or lines of text, in batches.",
            "description": (
                "A stored batch stays stored if a later one fails. If an import ends early, the"
                " problem has the 'line' at which it ended and the number of rows 'imported'."
            ),
            "parameters": [
                query(
                    "on_conflict",
                    "What to do with a key that has a value; by default replace it.",
                    _one_of(OnConflict),
                ),
                query(
                    "format",
                    "Instead of Content-Type; needed with application/octet-stream.",
                    _one_of(Format),
                ),
                query(
                    "any_key",
                    "In lines of text, keys need not be UUIDs; without a value: true.",
                    schema("Flag"),
                ),
            ],
            "requestBody": {"content": _IMPORT_BODIES},  # no row at all is fine
            "responses": _IMPORT_ANSWERS,
        }
    },
}

TRANSFER_SCHEMAS: dict[str, Json] = {
    "ImportAnswer": {
        "type": "object",
        "required": ["imported", "skipped", "revision"],
        "properties": {
            "imported": {"type": "integer", "description": "Rows that are stored."},
            "skipped": {
                "type": "integer",
                "description": "Rows that had expired, or whose key has a value.",
            },
            "revision": {"type": "integer", "description": "Of the store now."},
        },
    }
}
