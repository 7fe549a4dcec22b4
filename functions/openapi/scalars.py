"""Schemas of single values: keys, revisions, times to live, entity tags, and their limits.

They are components of the document, so that it names every limit of the server once. Descriptions
say what JSON Schema cannot express: sizes in bytes, and that base64url contains UTF-8.
"""

from __future__ import annotations

from typing import Final

from rundlet_server.functions.limits import LIST_KEYS_DEFAULT
from rundlet_server.functions.messages.query import REVISION_MAX, TTL_S_MIN
from rundlet_server.functions.messages.validators import ENTITY_TAGS_PATTERN
from rundlet_server.functions.openapi.parts import Json
from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    METADATA_BYTES_MAX,
    TTL_S_MAX,
)
from rundlet_server.storage.interface import Limits

_NOT_DOTS = r"(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)?"
_PATH_KEY_PATTERN = f"^{_NOT_DOTS}(?:/{_NOT_DOTS})*$"
"""No segment is ``.`` or ``..``."""
_BASE64URL_PATTERN = (
    "^(?:[A-Za-z0-9_-]{4})*"
    "(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]|[A-Za-z0-9_-][AQgw])$"
)
"""Only the canonical spelling: without padding, and with unused bits of zero."""

_PLAIN: Final = r"[\x20-\x24\x26-\x7e]*"
_METADATA_TEXT_PATTERN: Final = rf"^{_PLAIN}[\x21-\x24\x26-\x7e]{_PLAIN}$"
"""Not only blanks, because HTTP removes them."""


def scalar_schemas(limits: Limits) -> dict[str, Json]:
    """Return the components; ``limits`` are those of the store."""
    key_bytes_max = limits.key_bytes_max
    key: Json = {
        "type": "string",
        "minLength": 1,
        "maxLength": key_bytes_max,
        "description": f"Unicode text that takes 1 to {key_bytes_max} bytes as UTF-8.",
    }
    page_default = min(LIST_KEYS_DEFAULT, limits.list_keys_max)
    return {
        "Key": key,
        "PathKey": {
            **key,
            "pattern": _PATH_KEY_PATTERN,
            "description": (
                f"The rest of the path, slashes included, percent-encoded; at most {key_bytes_max}"
                " bytes before encoding. No segment may be '.' or '..'."
            ),
        },
        "Base64UrlKey": {
            "type": "string",
            "format": "base64url",
            "pattern": _BASE64URL_PATTERN,
            "maxLength": (key_bytes_max * 8 + 5) // 6,
            "description": (
                f"The 1 to {key_bytes_max} UTF-8 bytes of the key as base64url without padding."
            ),
        },
        "Revision": {
            "type": "integer",
            "minimum": 0,
            "maximum": REVISION_MAX,
            "description": "The number of a commit; in a request, written without a fraction.",
        },
        "Version": {
            "type": "integer",
            "minimum": 1,
            "maximum": REVISION_MAX,
            "description": "n-th write of a key; in a request, written without a fraction.",
        },
        "Time": {
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339, as precise as microseconds.",
        },
        "TtlSeconds": {
            "type": "number",
            "minimum": TTL_S_MIN,
            "maximum": TTL_S_MAX,
            "description": "Seconds until the value expires.",
        },
        "ContentType": {
            "type": "string",
            "pattern": "^[\\t\\x20-\\x7e]*$",
            "maxLength": CONTENT_TYPE_BYTES_MAX,
        },
        "MetadataText": {
            "type": "string",
            "pattern": _METADATA_TEXT_PATTERN,
            "minLength": 1,
            "maxLength": METADATA_BYTES_MAX - len("NAME"),
            "description": "Other characters, and '%', are percent-encoded as UTF-8.",
        },
        "EntityTags": {
            "type": "string",
            "minLength": 1,
            "if": {"not": {"const": "*"}},
            "then": {"pattern": ENTITY_TAGS_PATTERN},
        },
        "PageLimit": {
            "type": "integer",
            "minimum": 1,
            "maximum": limits.list_keys_max,
            "default": page_default,
        },
        "Flag": {
            "anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["", "1", "0"]}],
            "default": False,
        },
        "Count": {"type": "integer", "minimum": 0},
        "KeyCount": {
            "type": "integer",
            "minimum": 0,
            "maximum": REVISION_MAX,
            "description": "A number of keys; in a request, written without a fraction.",
        },
    }
