"""The types of the answers of ``/v1/mget``, ``/v1/txn`` and ``/v1/keys``.

These types are shown in the OpenAPI document. They are dictionaries, because the
encoders of JSON and CBOR take dictionaries as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Final, NotRequired, TypedDict

from msgspec import Meta

from rundlet_server.functions.messages.bodies import CBOR_TYPE, encode
from rundlet_server.functions.transfer import cbor
from rundlet_server.functions.transfer.shapes import ShapesOfValues
from rundlet_server.functions.transfer.writing import readable_text
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage import interface as storage
from rundlet_server.storage.outcomes.results import OpResult

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Text = Annotated[str, Meta(description="In JSON, of a content type that means text.")]
Base64 = Annotated[bytes, Meta(description="In JSON otherwise.")]
Texts = Annotated[dict[str, str], Meta(description="The metadata of the value, if it has any.")]
ByteString = Annotated[object, Meta(description="The value as a byte string, in CBOR.")]


class MgetItem(TypedDict):
    """One key that was asked for; without a value only ``key`` and ``found``."""

    key: str
    found: bool
    revision: NotRequired[int]
    version: NotRequired[int]
    content_type: NotRequired[str]
    expires: NotRequired[Time]
    meta: NotRequired[Texts]
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
    time: Annotated[Time, Meta(description="When it was written.")]
    expires: NotRequired[Time]
    meta: NotRequired[Texts]
    text: NotRequired[Text]
    base64: NotRequired[Base64]
    value: NotRequired[ByteString]


class KeyPage(TypedDict):
    """One page of a list."""

    revision: Annotated[int, Meta(description="The snapshot of all pages.")]
    keys: list[KeyInfo]
    prefixes: list[str]
    next: NotRequired[Annotated[str, Meta(description="URL of the next page, as in Link.")]]


class DeletionAnswer(TypedDict):
    """What a deletion of all keys with a prefix did."""

    revision: Annotated[
        int, Meta(description="Of its last commit; of the snapshot if there was nothing to delete.")
    ]
    deleted: Annotated[int, Meta(description="Keys that it deleted.")]


def encode_mget(
    keys: Sequence[str], entries: Sequence[storage.Entry | None], revision: int, media_type: str
) -> bytes:
    """Encode the body of an answer with an item for each key."""
    if media_type == CBOR_TYPE:
        items = cbor.array(_cbor_items(keys, entries), len(keys))
        return _MGET.encode(cbor.number(revision), items)
    pairs = zip(keys, entries, strict=True)
    answer: MgetAnswer = {
        "revision": revision,
        "items": [_mget_item(key, entry, media_type) for key, entry in pairs],
    }
    return encode(answer, media_type)


def encode_page(page: storage.Page, next_url: str | None, media_type: str) -> bytes:
    """Encode the body of a page, with the values that it holds."""
    if media_type == CBOR_TYPE and not any(info.entry for info in page.keys):
        return _cbor_page(page, next_url)
    answer: KeyPage = {
        "revision": page.revision,
        "keys": [_key_info(info, media_type) for info in page.keys],
        "prefixes": page.prefixes,
    }
    if next_url is not None:
        answer["next"] = next_url
    return encode(answer, media_type)


def operation_result(op: storage.Op, result: OpResult) -> OperationResult:
    """Return the result of an operation as an answer shows it."""
    if isinstance(op, storage.Delete):
        return {"found": result.found}
    if isinstance(op, storage.Add):
        assert result.number is not None
        return {"version": result.version, "number": result.number}
    return {"version": result.version}


_MGET: Final = cbor.Shape("revision", "items")
_MISSING: Final = cbor.Shape("key", "found")
_ABOUT: Final = ("key", "found", "revision", "version", "content_type")
_FOUND: Final = ShapesOfValues(*_ABOUT, last=("value",))
_KEY, _IS_FOUND, _REVISION, _VERSION, _TYPE, _VALUE = cbor.Shape(*_ABOUT, "value").names
_FOUND_AT: Final = _IS_FOUND + cbor.TRUE + _REVISION


def _cbor_items(keys: Sequence[str], entries: Sequence[storage.Entry | None]) -> list[bytes]:
    """Encode items in pieces; each value is a piece of its own, as a copy may be large."""
    pieces: list[bytes] = []
    for key, entry in zip(keys, entries, strict=True):
        if entry is None:
            pieces.append(_MISSING.encode(cbor.text(key), cbor.FALSE))
            continue
        # Not unpacked as a whole: that would also fetch members from memory that are not shown.
        value, expires_us, metadata = entry.value, entry.expires_us, entry.metadata
        value_head = cbor.byte_string_head(len(value))
        if expires_us is None and not metadata:
            # A faster form of the code below for most values: their pieces are joined only once.
            encoded, about = key.encode(), _cbor_about(entry.version, entry.content_type)
            pieces += (_KEY, cbor.text_head(len(encoded)), encoded, _FOUND_AT)
            pieces += (cbor.number(entry.revision), about, value_head, value)
            continue
        members = (
            cbor.text(key),
            cbor.TRUE,
            cbor.number(entry.revision),
            cbor.number(entry.version),
            cbor.repeated_text(entry.content_type),
        )
        pieces += (_FOUND.encode(members, expires_us, metadata, value_head), value)
    return pieces


@functools.lru_cache(maxsize=256)
def _cbor_about(version: int, content_type: str) -> bytes:
    """Return the bytes between the revision of a value and the value."""
    return b"".join((_VERSION, cbor.number(version), _TYPE, cbor.text(content_type), _VALUE))


_PAGE: Final = ("revision", "keys", "prefixes")
_LAST_PAGE: Final = cbor.Shape(*_PAGE)
_NOT_LAST_PAGE: Final = cbor.Shape(*_PAGE, "next")
_KEY_INFO: Final = ShapesOfValues("key", "revision", "version", "size", "content_type", "time")


def _cbor_page(page: storage.Page, next_url: str | None) -> bytes:
    """Encode a page that holds no values."""
    rows = [_cbor_key_info(info) for info in page.keys]
    prefixes = [cbor.text(prefix) for prefix in page.prefixes]
    members = (
        cbor.number(page.revision),
        cbor.array(rows, len(rows)),
        cbor.array(prefixes, len(prefixes)),
    )
    if next_url is None:
        return _LAST_PAGE.encode(*members)
    return _NOT_LAST_PAGE.encode(*members, cbor.text(next_url))


def _cbor_key_info(info: storage.KeyInfo) -> bytes:
    key, revision, version, size, content_type, _, time_us, expires_us, metadata = info
    members = (
        cbor.text(key),
        cbor.number(revision),
        cbor.number(version),
        cbor.number(size),
        cbor.repeated_text(content_type),
        cbor.text(rfc3339(time_us)),
    )
    return _KEY_INFO.encode(members, expires_us, metadata)


def _mget_item(key: str, entry: storage.Entry | None, media_type: str) -> MgetItem:
    if entry is None:
        return {"key": key, "found": False}
    item: MgetItem = {
        "key": key,
        "found": True,
        "revision": entry.revision,
        "version": entry.version,
        "content_type": entry.content_type,
    }
    if entry.metadata:
        item["meta"] = dict(entry.metadata)
    _add_value(item, entry, media_type)
    return item


def _key_info(info: storage.KeyInfo, media_type: str) -> KeyInfo:
    key, revision, version, size, content_type, entry, time_us, expires_us, metadata = info
    shown: KeyInfo = {
        "key": key,
        "revision": revision,
        "version": version,
        "size": size,
        "content_type": content_type,
        "time": rfc3339(time_us),
    }
    if expires_us is not None:
        shown["expires"] = rfc3339(expires_us)
    if metadata:
        shown["meta"] = dict(metadata)
    if entry is not None:
        _add_value(shown, entry, media_type)
    return shown


def _add_value(members: MgetItem | KeyInfo, entry: storage.Entry, media_type: str) -> None:
    """Add a value in the form that fits, and its time of expiry."""
    if entry.expires_us is not None:
        members["expires"] = rfc3339(entry.expires_us)
    if media_type == CBOR_TYPE:
        members["value"] = entry.value
    elif (text := readable_text(entry.value, entry.content_type)) is not None:
        members["text"] = text
    else:
        members["base64"] = entry.value
