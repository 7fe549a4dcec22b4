"""Bodies on the wire: transactions to CBOR, answers in CBOR or JSON to records.

Values are byte strings in CBOR; a JSON answer has ``text`` or ``base64`` instead. Metadata of a
single value is in headers, percent-encoded if necessary.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import unquote

import cbor2

from rundlet.errors import BadRequest, ServerError
from rundlet.model import (
    DEFAULT_CONTENT_TYPE,
    Add,
    Commit,
    Condition,
    Delete,
    KeyInfo,
    Op,
    OpResult,
    Put,
    Restore,
    Touch,
    Value,
)

CBOR_TYPE = "application/cbor"
ACCEPTED_TYPES = "application/cbor, application/json;q=0.9"

_META_PREFIX = "kv-meta-"
_META_PREFIX_BYTES = _META_PREFIX.encode()
_META_NAME = re.compile(r"[A-Za-z0-9-]+")
_META_ENCODED = re.compile(r"^ +| +$|[^\x20-\x24\x26-\x7e]+")
Wire = str | int | float | bool | bytes | dict[str, str]


def metadata_headers(meta: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that store metadata.

    Raises:
        BadRequest: a name cannot be part of a header, or a text has no UTF-8 form.
    """
    headers = {}
    for name, text in meta.items():
        if not _META_NAME.fullmatch(name):
            message = f"{name!r} is no name of metadata; write letters a to z, digits and '-'"
            raise BadRequest(message)
        header = _META_PREFIX + name.lower()
        if header in headers:
            message = f"the metadata has {name.lower()!r} twice; names are the same in any case"
            raise BadRequest(message)
        try:
            headers[header] = _META_ENCODED.sub(_percent_encoded, text)
        except UnicodeEncodeError as ex:
            message = f"the metadata {name!r} cannot be encoded as UTF-8"
            raise BadRequest(message) from ex
    return headers


def metadata_of(headers: Mapping[bytes, str]) -> dict[str, str]:
    """Return the metadata in the headers of an answer, whose names are in lower case."""
    return {
        name[len(_META_PREFIX) :].decode(): unquote(text)
        for name, text in headers.items()
        if name.startswith(_META_PREFIX_BYTES)
    }


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def bytes_of(value: object) -> bytes:
    """Return the bytes of a value that is ``bytes``, ``bytearray`` or ``memoryview``.

    Raises:
        TypeError: the value has another type.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        message = "the value of a Put is bytes, got str; encode it: Put(key, text.encode())"
        raise TypeError(message)
    message = (
        f"a value is bytes or text, got {type(value).__name__}; encode it, or let"
        ' client.mapping(codec="json") do so'
    )
    raise TypeError(message)


def encode_txn(
    then: Sequence[Op], conditions: Sequence[Condition], otherwise: Sequence[Op] | None
) -> bytes:
    """Encode a transaction as the body of ``POST /v1/txn``."""
    body: dict[str, list[dict[str, Wire]]] = {"then": [_op_fields(op) for op in then]}
    if conditions:
        body["if"] = [_condition_fields(condition) for condition in conditions]
    if otherwise is not None:
        body["else"] = [_op_fields(op) for op in otherwise]
    return cbor2.dumps(body)


def _op_fields(op: Op) -> dict[str, Wire]:
    match op:
        case Put(key, value, content_type, ttl, meta):
            fields: dict[str, Wire] = {"op": "put", "key": key, "value": bytes_of(value)}
            fields["content_type"] = content_type
            if meta:
                fields["meta"] = dict(meta)
            return fields if ttl is None else fields | {"ttl": ttl}
        case Delete(key):
            return {"op": "delete", "key": key}
        case Add(key, by):
            return {"op": "add", "key": key, "by": by}
        case Touch(key, ttl):
            fields = {"op": "touch", "key": key}
            return fields if ttl is None else fields | {"ttl": ttl}
        case Restore(key, version, revision, ttl):
            named = {"version": version, "revision": revision, "ttl": ttl}
            given = {name: number for name, number in named.items() if number is not None}
            return {"op": "restore", "key": key, **given}


def _condition_fields(condition: Condition) -> dict[str, Wire]:
    fields: dict[str, Wire] = {"key": condition.key}
    if condition.revision is not None:
        fields["revision"] = condition.revision
    if condition.version is not None:
        fields["version"] = condition.version
    if condition.exists is not None:
        fields["exists"] = condition.exists
    return fields


class Fields:
    """An object in an answer, read by name and type.

    A member that is missing or of another type raises ``ServerError``: the program that
    answered does not speak this API.
    """

    def __init__(self, members: object) -> None:
        if not isinstance(members, dict):
            message = f"the answer has {type(members).__name__} in place of an object"
            raise ServerError(message)
        self._members: dict[object, object] = members

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def as_dict(self) -> dict[str, object]:
        """Return all members unchanged."""
        return {str(name): member for name, member in self._members.items()}

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        member = self._members.get(name, default)
        if isinstance(member, int) and not isinstance(member, bool):
            return member
        raise self._unexpected(name)

    def decimal(self, name: str) -> float:
        """Return a number, whole or not."""
        member = self._members.get(name)
        if isinstance(member, int | float) and not isinstance(member, bool):
            return float(member)
        raise self._unexpected(name)

    def part(self, name: str) -> Fields:
        """Return an object within this one."""
        return Fields(self._members.get(name))

    def text(self, name: str, default: str | None = None) -> str:
        """Return text."""
        member = self._members.get(name, default)
        if isinstance(member, str):
            return member
        raise self._unexpected(name)

    def fact(self, name: str) -> bool:
        """Return true or false."""
        member = self._members.get(name)
        if isinstance(member, bool):
            return member
        raise self._unexpected(name)

    def rows(self, name: str) -> list[Fields]:
        """Return a list of objects."""
        return [Fields(member) for member in self._list(name)]

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        return [str(member) for member in self._list(name)]

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Return an object of texts; empty if there is none."""
        member = self._members.get(name)
        if member is None:
            return {}
        if isinstance(member, dict):
            return {str(name): str(text) for name, text in member.items()}
        raise self._unexpected(name)

    def value(self) -> bytes:
        """Return the bytes of a value, from whichever of the three forms the object has."""
        if "value" in self:
            member = self._members["value"]
            if isinstance(member, bytes):
                return member
            raise self._unexpected("value")
        if "base64" in self:
            return _decode_base64(self.text("base64"))
        return self.text("text").encode()

    def _list(self, name: str) -> list[object]:
        member = self._members.get(name)
        if isinstance(member, list):
            return member
        raise self._unexpected(name)

    def _unexpected(self, name: str) -> ServerError:
        return ServerError(f"the answer has no usable {name!r}; is this a Rundlet server?")


def decode_body(body: bytes, content_type: str) -> Fields:
    """Decode the object in the body of an answer.

    Raises:
        ServerError: the body is incomplete, not an object, or of another content type.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if media_type == CBOR_TYPE:
            return Fields(cbor2.loads(body))
        if media_type.endswith("json"):
            return Fields(json.loads(body))
    except ValueError as ex:  # cbor2's and json's errors are both of this kind
        message = f"the answer is not whole {media_type}: {ex}"
        raise ServerError(message) from ex
    message = f"the answer is {media_type or 'of no type'}; is this a Rundlet server?"
    raise ServerError(message)


def decode_item(item: Fields) -> Value | None:
    """Decode an item of an mget, or a key of a list with its value."""
    if "found" in item and not item.fact("found"):
        return None
    return Value(
        key=item.text("key"),
        data=item.value(),
        revision=item.number("revision"),
        version=item.number("version"),
        content_type=item.text("content_type", DEFAULT_CONTENT_TYPE),
        expires=datetime.fromisoformat(item.text("expires")) if "expires" in item else None,
        meta=item.texts_by_name("meta"),
    )


def decode_key(row: Fields, *, has_value: bool) -> KeyInfo:
    """Decode a key of a list."""
    return KeyInfo(
        key=row.text("key"),
        revision=row.number("revision"),
        version=row.number("version"),
        size=row.number("size"),
        content_type=row.text("content_type", DEFAULT_CONTENT_TYPE),
        value=decode_item(row) if has_value else None,
        time=datetime.fromisoformat(row.text("time")) if "time" in row else None,
        expires=datetime.fromisoformat(row.text("expires")) if "expires" in row else None,
        meta=row.texts_by_name("meta"),
    )


def decode_commit(fields: Fields) -> Commit:
    """Decode the answer to a transaction."""
    return Commit(
        succeeded=fields.fact("succeeded"),
        revision=fields.number("revision"),
        results=tuple(_decode_result(row) for row in fields.rows("results")),
    )


def _decode_result(row: Fields) -> OpResult:
    return OpResult(
        found=row.fact("found") if "found" in row else None,
        version=row.number("version") if "version" in row else None,
        number=row.number("number") if "number" in row else None,
    )


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as ex:
        message = f"the answer has broken base64: {ex}"
        raise ServerError(message) from ex
