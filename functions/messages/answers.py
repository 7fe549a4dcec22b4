"""What ``/v1/mget``, ``/v1/txn`` and ``/v1/keys`` answer: the types of their bodies.

These types are shown in the OpenAPI document. They are dictionaries, which JSON and CBOR are
encoded from without a step between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from rundlet_server.functions.messages.bodies import CBOR_TYPE
from rundlet_server.functions.messages.content_types import readable_text
from rundlet_server.functions.messages.validators import rfc3339
from rundlet_server.storage import interface as storage

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Text = Annotated[str, Meta(description="In JSON, of a content type that means text.")]
Base64 = Annotated[bytes, Meta(description="In JSON otherwise.")]
ByteString = Annotated[object, Meta(description="The value as a byte string, in CBOR.")]


class MgetItem(TypedDict):
    """One key that was asked for; without a value only ``key`` and ``found``."""

    key: str
    found: bool
    revision: NotRequired[int]
    version: NotRequired[int]
    content_type: NotRequired[str]
    expires: NotRequired[Time]
    text: NotRequired[Text]
    base64: NotRequired[Base64]
    value: NotRequired[ByteString]


class MgetAnswer(TypedDict):
    """Many values of one snapshot, in the order asked."""

    revision: int
    items: list[MgetItem]


class OperationResult(TypedDict, total=False):
    """What one operation did."""

    found: Annotated[bool, Meta(description="delete: there was one.")]
    version: Annotated[int, Meta(description="Of the key now.")]
    number: Annotated[int, Meta(description="add: the new number.")]


class TransactionAnswer(TypedDict):
    """What became of a transaction; a result for each operation that was done."""

    succeeded: Annotated[bool, Meta(description="'then' was done, not 'else'.")]
    revision: int
    results: list[OperationResult]


class KeyInfo(TypedDict):
    """What a list shows of a key; the value only where it was asked for."""

    key: str
    revision: int
    version: int
    size: Annotated[int, Meta(description="In bytes.")]
    content_type: str
    expires: NotRequired[Time]
    text: NotRequired[Text]
    base64: NotRequired[Base64]
    value: NotRequired[ByteString]


class KeyPage(TypedDict):
    """One page of a list."""

    revision: Annotated[int, Meta(description="The snapshot of all pages.")]
    keys: list[KeyInfo]
    prefixes: list[str]
    next: NotRequired[Annotated[str, Meta(description="URL of the next page, as in Link.")]]


def mget_items(
    keys: Iterable[str], entries: Iterable[storage.Entry | None], media_type: str
) -> list[MgetItem]:
    """An item for each key."""
    items: list[MgetItem] = []
    for key, entry in zip(keys, entries, strict=True):
        item: MgetItem = {"key": key, "found": entry is not None}
        if entry is not None:
            item["revision"] = entry.revision
            item["version"] = entry.version
            item["content_type"] = entry.content_type
            _add_value(item, entry, media_type)
        items.append(item)
    return items


def key_infos(infos: Iterable[storage.KeyInfo], media_type: str) -> list[KeyInfo]:
    """What a list shows of each key."""
    shown: list[KeyInfo] = []
    for key, revision, version, size, content_type, entry in infos:
        row: KeyInfo = {
            "key": key,
            "revision": revision,
            "version": version,
            "size": size,
            "content_type": content_type,
        }
        if entry is not None:
            _add_value(row, entry, media_type)
        shown.append(row)
    return shown


def operation_result(op: storage.Op, result: storage.OpResult) -> OperationResult:
    """What an answer says of one operation."""
    if isinstance(op, storage.Delete):
        return {"found": result.found}
    if isinstance(op, storage.Add):
        assert result.number is not None
        return {"version": result.version, "number": result.number}
    return {"version": result.version}


def _add_value(members: MgetItem | KeyInfo, entry: storage.Entry, media_type: str) -> None:
    """Add a value in the form that fits, and when it expires."""
    if entry.expires_us is not None:
        members["expires"] = rfc3339(entry.expires_us)
    if media_type == CBOR_TYPE:
        members["value"] = entry.value
    elif (text := readable_text(entry.value, entry.content_type)) is not None:
        members["text"] = text
    else:
        members["base64"] = entry.value
