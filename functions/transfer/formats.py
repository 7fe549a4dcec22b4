"""The options of exports and imports: formats with their media types, and conflicts."""

from __future__ import annotations

import enum
from typing import Final


class Format(enum.StrEnum):
    """How keys and values are written."""

    TEXT = "text"  # KEY SP VALUE LF, see storage.textfile; imported only
    JSONL = "jsonl"
    CSV = "csv"
    CBOR_SEQ = "cbor-seq"


class OnConflict(enum.StrEnum):
    """What an import does with a row whose key has a value."""

    REPLACE = "replace"
    SKIP = "skip"
    FAIL = "fail"


EXPORTED: Final = (Format.JSONL, Format.CSV, Format.CBOR_SEQ)
"""The formats that hold every key and value."""

CSV_COLUMNS: Final = ("key", "content_type", "expires", "meta", "encoding", "value")
"""The columns that an export writes; an import also reads some of them, in any order."""

MEDIA_TYPES: Final = {
    Format.TEXT: "text/plain",
    Format.JSONL: "application/jsonl",
    Format.CSV: "text/csv",
    Format.CBOR_SEQ: "application/cbor-seq",
}
_BY_MEDIA_TYPE: Final = {
    **{media_type: name for name, media_type in MEDIA_TYPES.items()},
    "application/x-ndjson": Format.JSONL,
}


def format_of_type(content_type: str) -> Format | None:
    """Return the format of a media type; its parameters are ignored."""
    return _BY_MEDIA_TYPE.get(content_type.partition(";")[0].strip().lower())
