"""User metadata: a few short texts by name that are stored with a value.

A put sets them, in place of all that the key's value had; every other operation that writes a value
again keeps them. The store itself does not interpret them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import cbor2

from rundlet_server.storage.bounds import (
    METADATA_BYTES_MAX,
    METADATA_COUNT_MAX,
    METADATA_NAME_BYTES_MAX,
)
from rundlet_server.storage.errors import InvalidRequest, LimitExceeded

Metadata = tuple[tuple[str, str], ...]
"""Names and texts, in the order of the names, each name once and in lower case.

No text is empty: Granian passes on an empty header if one is not ASCII, and the text that was sent
would be lost silently.
"""

NO_METADATA: Final[Metadata] = ()

NAME_PATTERN: Final = f"[a-z0-9-]{{1,{METADATA_NAME_BYTES_MAX}}}"
NAME_PATTERN_ANY_CASE: Final = f"[A-Za-z0-9-]{{1,{METADATA_NAME_BYTES_MAX}}}"
"""As a request may have it; it is stored in lower case."""
_NAME: Final = re.compile(NAME_PATTERN)


def metadata_of(texts: Mapping[str, str]) -> Metadata:
    """Return texts by name as metadata.

    Args:
        texts: names in any case.

    Raises:
        InvalidRequest, LimitExceeded: see ``check_metadata``.
    """
    if not texts:
        return NO_METADATA
    metadata = tuple(sorted((name.lower(), text) for name, text in texts.items()))
    check_metadata(metadata)
    return metadata


def check_metadata(metadata: Metadata) -> None:
    """Refuse metadata that no store takes.

    Raises:
        InvalidRequest: a name is not legal, or comes twice; a text is empty, or has no UTF-8 form.
        LimitExceeded: there are too many, or they are too large together.
    """
    if len(metadata) > METADATA_COUNT_MAX:
        raise LimitExceeded("metadata_count_max", METADATA_COUNT_MAX, len(metadata))
    last = ""
    for name, text in metadata:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name[:80]!r} is no name of metadata; write 1 to {METADATA_NAME_BYTES_MAX} of the"
                " letters a to z, digits and '-'"
            )
        if name <= last:
            raise InvalidRequest(f"the metadata {name!r} is there more than once")
        if not text:
            raise InvalidRequest(f"the metadata {name!r} is empty; leave it out")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidRequest(f"the metadata {name!r} cannot be encoded as UTF-8")
        last = name
    size = metadata_bytes(metadata)
    if size > METADATA_BYTES_MAX:
        raise LimitExceeded("metadata_bytes_max", METADATA_BYTES_MAX, size)


def encode_metadata(metadata: Metadata) -> bytes:
    """Return metadata as one CBOR map, from names to texts; for backends that keep it so."""
    return cbor2.dumps(dict(metadata))


def decode_metadata(data: bytes) -> Metadata:
    """Return the metadata that ``encode_metadata`` wrote.

    Raises:
        ValueError: the bytes are not such metadata.
    """
    try:
        texts = cbor2.loads(data)
    except (cbor2.CBORDecodeError, TypeError) as ex:
        raise ValueError(f"the metadata cannot be read: {ex}") from ex
    return metadata_in(texts)


def metadata_in(texts: object) -> Metadata:
    """Return the metadata in a map that was read.

    Raises:
        ValueError: it is no map from names to texts, or empty.
    """
    if not isinstance(texts, dict) or not texts:
        raise ValueError("the metadata is no map of names")
    metadata = tuple(texts.items())
    if not all(isinstance(name, str) and isinstance(text, str) for name, text in metadata):
        raise ValueError("the metadata has a member of the wrong type")
    return metadata


def metadata_bytes(metadata: Metadata) -> int:
    """Return how many bytes names and texts have together."""
    return sum(len(name) + len(text.encode()) for name, text in metadata)
