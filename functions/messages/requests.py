"""The types of the request bodies of ``/v1/mget`` and ``/v1/txn``.

Bodies are decoded into these types and validated against them, and the OpenAPI document takes its
schemas from them. A member that is ``None`` was left out or ``null``, which mean the same. The
conversion to what the store takes checks the rest: limits that are settings, and members that
exclude each other.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Protocol, TypeVar

from msgspec import Meta, Struct, field

from rundlet_server.functions.limits import over_limit
from rundlet_server.functions.messages.content_types import require_header_safe
from rundlet_server.functions.messages.moments import MomentAt, time_us_of
from rundlet_server.functions.messages.query import REVISION_MAX, TTL_S_MIN
from rundlet_server.functions.problems import Member, Problem, too_large
from rundlet_server.storage import interface as storage
from rundlet_server.storage.bounds import (
    KEY_BYTES_LIMIT,
    METADATA_BYTES_MAX,
    METADATA_COUNT_MAX,
    NUMBER_MAX,
    TTL_S_MAX,
)
from rundlet_server.storage.errors import InvalidRequest, LimitExceeded
from rundlet_server.storage.metadata import NAME_PATTERN_ANY_CASE, Metadata, metadata_of
from rundlet_server.storage.timeline import At

Key = Annotated[str, Meta(min_length=1, description="At most key_bytes_max bytes as UTF-8.")]
Revision = Annotated[int, Meta(ge=0, le=REVISION_MAX)]
Version = Annotated[int, Meta(ge=1, le=REVISION_MAX)]
Number = Annotated[int, Meta(ge=-NUMBER_MAX - 1, le=NUMBER_MAX)]
Seconds = Annotated[float, Meta(ge=TTL_S_MIN, le=TTL_S_MAX, description="Time to live.")]
Texts = Annotated[
    dict[
        Annotated[str, Meta(pattern=f"^{NAME_PATTERN_ANY_CASE}$")],
        Annotated[str, Meta(min_length=1)],
    ],
    Meta(
        description=(
            f"Metadata: at most {METADATA_COUNT_MAX} texts by name, names and texts together at"
            f" most {METADATA_BYTES_MAX} bytes."
        ),
        extra_json_schema={"maxProperties": METADATA_COUNT_MAX},
    ),
]
_BASE64: Final = Meta(
    description="The value in base64.", extra_json_schema={"contentEncoding": "base64"}
)


Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Wrong(Exception):
    """A part of a request is wrong in a way that its type allows."""

    def __init__(self, what: str, name: str | None = None, **members: Member) -> None:
        """``what`` is a sentence; ``name`` and ``members`` replace those of the usual problem."""
        super().__init__(what)
        self.name = name
        self.members = members


class MgetRequest(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which values to read."""

    keys: Annotated[
        list[Key],
        Meta(description="At most list_keys_max."),
    ]
    rev: Annotated[Revision | None, Meta(description="The last one by default.")] = None
    at: Annotated[Time | None, Meta(description="A time instead of 'rev'.")] = None

    def require_within(self, limits: storage.Limits) -> None:
        """Refuse too many keys, or a key that is longer than ``KEY_BYTES_LIMIT``.

        Raises:
            Problem: 413 or 422.
        """
        if len(self.keys) > limits.list_keys_max:
            raise too_large("list_keys_max", limits.list_keys_max, len(self.keys))
        if _are_short(self.keys, limits):
            return
        for index, key in enumerate(self.keys):
            try:
                _require_key(key, limits, KEY_BYTES_LIMIT)
            except Wrong as ex:
                raise _problem("bad-members", "keys", index, ex) from ex

    @property
    def is_past(self) -> bool:
        """Whether it asks for the values of an older revision or time."""
        return self.rev is not None or self.at is not None

    def is_plain(self, limits: storage.Limits) -> bool:
        """Return whether it asks for newest values, and all keys are short and ASCII."""
        is_short = len(self.keys) <= limits.list_keys_max and _are_short(self.keys, limits)
        return is_short and not self.is_past

    def where(self, moment_at: MomentAt) -> At | None:
        """Return where to read.

        Raises:
            Problem: 422 ``bad-members``.
        """
        if self.at is None:
            return self.rev
        if self.rev is not None:
            detail = "'rev' and 'at' exclude each other; send one of them"
            raise Problem(422, "bad-members", detail)
        return moment_at(_time_us("at", self.at))

    def lists(self) -> dict[str, Sequence[str]]:
        """Return the keys by the name of their list."""
        return {"keys": self.keys}


class _Operation(Struct, tag_field="op", forbid_unknown_fields=True, omit_defaults=True):
    key: Key


class Put(_Operation, tag="put"):
    """Store a value, given in exactly one of the three forms."""

    text: Annotated[str | None, Meta(description="The value as text.")] = None
    base64: Annotated[str, _BASE64] | None = None
    value: Annotated[object, Meta(description="The value as a byte string, in CBOR only.")] = None
    content_type: Annotated[
        str | None,
        Meta(description="Default: text/plain; charset=utf-8 with text, else octet-stream."),
    ] = None
    ttl: Seconds | None = None
    meta: Texts | None = None

    def to_storage(self) -> storage.Op:
        """Convert it to what the store takes."""
        content_type = self.content_type
        if content_type:
            _require_content_type(content_type)
        elif self.text is not None:
            content_type = storage.TEXT_CONTENT_TYPE
        return storage.Put(
            self.key,
            self._bytes(),
            content_type or storage.DEFAULT_CONTENT_TYPE,
            self.ttl,
            metadata=_metadata(self.meta),
        )

    def _bytes(self) -> bytes:
        text, encoded, value = self.text, self.base64, self.value
        if text is not None:
            if encoded is None and value is None:
                return _encoded("text", text)
        elif encoded is not None:
            if value is None:
                return _decode_base64(encoded)
        elif isinstance(value, bytes):
            return value
        raise Wrong(
            "a put needs exactly one of 'text', 'base64' and, in CBOR, the byte string 'value'"
        )


class Delete(_Operation, tag="delete"):
    """Remove a key."""

    def to_storage(self) -> storage.Op:
        """Convert it to what the store takes."""
        return storage.Delete(self.key)


class Add(_Operation, tag="add"):
    """Add to a number that is stored as decimal text; a key that is missing counts as 0."""

    by: Annotated[Number | None, Meta(description="1 by default.")] = None

    def to_storage(self) -> storage.Op:
        """Convert it to what the store takes."""
        return storage.Add(self.key, 1 if self.by is None else self.by)


class Touch(_Operation, tag="touch"):
    """Give a key a new time to live, or none."""

    ttl: Seconds | None = None

    def to_storage(self) -> storage.Op:
        """Convert it to what the store takes."""
        return storage.Touch(self.key, self.ttl)


class Restore(_Operation, tag="restore"):
    """Write again a value that a key had, named by exactly one of version and revision."""

    version: Annotated[
        Version | None, Meta(description="Of those since the key was last created.")
    ] = None
    revision: Annotated[
        Revision | None, Meta(description="The value that the key had then, in any life.")
    ] = None
    ttl: Seconds | None = None

    def to_storage(self) -> storage.Op:
        """Convert it to what the store takes."""
        if (self.version is None) == (self.revision is None):
            raise Wrong("a restore needs exactly one of 'version' and 'revision'")
        return storage.Restore(self.key, self.version, self.revision, self.ttl)


class Condition(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What must hold of a key: all that is given, and at least one thing."""

    key: Key
    revision: Annotated[Revision | None, Meta(description="0: has no value.")] = None
    exists: bool | None = None
    version: Version | None = None

    def to_storage(self) -> storage.Condition:
        """Convert it to what the store takes."""
        if self.revision is None and self.exists is None and self.version is None:
            raise Wrong("a condition needs one of 'revision', 'exists' and 'version'")
        revisions = None if self.revision is None else (self.revision,)
        return storage.Condition(
            self.key, exists=self.exists, version=self.version, revisions=revisions
        )


Operations = list[Put | Delete | Add | Touch | Restore]
Conditions = list[Annotated[Condition, Meta(extra_json_schema={"minProperties": 2})]]


class Transaction(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Writes of which all or none are done; of each list at most txn_ops_max."""

    then: Annotated[Operations, Meta(description="Done if every condition holds.")]
    conditions: Conditions | None = field(default=None, name="if")
    otherwise: Operations | None = field(default=None, name="else")

    def to_storage(self, limits: storage.Limits) -> storage.Txn:
        """Convert it to what the store takes; the store checks the sizes of values.

        Raises:
            Problem: 422 naming list and index of whatever is wrong, 413 for too many operations.
        """
        otherwise = self.otherwise
        return storage.Txn(
            then=_to_storage("then", self.then, limits),
            conditions=_to_storage("if", self.conditions or (), limits),
            otherwise=None if otherwise is None else _to_storage("else", otherwise, limits),
        )


def lists_of(txn: storage.Txn) -> dict[str, list[str]]:
    """Return the keys of a transaction by the names of its lists in a request."""
    lists = {"if": txn.conditions, "then": txn.then, "else": txn.otherwise or ()}
    return {name: [item.key for item in items] for name, items in lists.items()}


def require_accepted(
    lists: Mapping[str, Sequence[str]], limits: storage.Limits, accepts: Callable[[str], bool]
) -> None:
    """Refuse a key that is longer than the current limit, unless the store already has it.

    Call it after the check of the token's prefix, because the answer reveals whether a key exists.

    Raises:
        Problem: 422 ``key-too-long``, which names list and index.
    """
    for name, keys in lists.items():
        if _are_short(keys, limits):
            continue
        for index, key in enumerate(keys):
            try:
                _require_key(key, limits)
            except Wrong as ex:
                if not accepts(key):
                    raise _problem("key-too-long", name, index, ex) from ex


def keys_of(txn: storage.Txn) -> Iterator[str]:
    """Yield every key that a transaction writes, may write, or has a condition on."""
    for part in (txn.conditions, txn.then, txn.otherwise or ()):
        yield from (item.key for item in part)


Stored_co = TypeVar("Stored_co", covariant=True)


class _Item(Protocol[Stored_co]):
    @property
    def key(self) -> str: ...

    def to_storage(self) -> Stored_co: ...


def _to_storage(
    name: str, items: Sequence[_Item[Stored_co]], limits: storage.Limits
) -> list[Stored_co]:
    """Convert the items of a list; each list of operations may name a key only once."""
    if len(items) > limits.txn_ops_max:
        raise too_large("txn_ops_max", limits.txn_ops_max, len(items))
    stored: list[Stored_co] = []
    first_index: dict[str, int] = {}
    for index, item in enumerate(items):
        try:
            is_written = not isinstance(item, Condition | Delete)
            _require_key(item.key, limits, None if is_written else KEY_BYTES_LIMIT)
            stored.append(item.to_storage())
            if (first := first_index.setdefault(item.key, index)) != index and name != "if":
                raise Wrong(f"it writes the same key as {name}[{first}]; write each key only once")
        except Wrong as ex:
            raise _problem("bad-operation", name, index, ex) from ex
    return stored


def _problem(usual: str, name: str, index: int, ex: Wrong) -> Problem:
    place: dict[str, Member] = {"list": name, "index": index}
    detail = f"{name}[{index}] is wrong: {ex}"
    return Problem(422, ex.name or usual, detail, {**place, **ex.members})


def _are_short(keys: Sequence[str], limits: storage.Limits) -> bool:
    """Return whether all keys are ASCII and within ``limits``; then no other check is needed."""
    return max(map(len, keys), default=0) <= limits.key_bytes_max and all(map(str.isascii, keys))


def _require_key(key: str, limits: storage.Limits, size_max: int | None = None) -> None:
    """Refuse a key that has no UTF-8 form or is too long; ``size_max`` replaces ``limits``."""
    size = len(key) if key.isascii() else len(_encoded("key", key))
    if size > (size_max or limits.key_bytes_max):
        what = f"the key is too long: {over_limit('key_bytes_max', limits.key_bytes_max, size)}"
        raise Wrong(what, "key-too-long", limit=limits.key_bytes_max, got=size)


def _time_us(name: str, text: str) -> int:
    time_us = time_us_of(text)
    if time_us is None:
        detail = f"'{name}' must be a time of RFC 3339, such as 2027-01-31T12:00:00Z"
        raise Problem(422, "bad-members", detail)
    return time_us


def _require_content_type(content_type: str) -> None:
    try:
        require_header_safe(content_type)
    except Problem as ex:
        raise Wrong(ex.detail) from ex


def _metadata(texts: Mapping[str, str] | None) -> Metadata:
    try:
        return metadata_of(texts or {})
    except LimitExceeded as ex:
        raise Wrong(str(ex), "metadata-too-large", limit=ex.limit, got=ex.got) from ex
    except InvalidRequest as ex:
        raise Wrong(str(ex)) from ex


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as ex:
        raise Wrong(f"'{name}' has half of a surrogate pair") from ex


def _decode_base64(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError as ex:
        raise Wrong(f"'base64' is not valid base64: {ex}") from ex
    if base64.b64encode(value).decode() != text:  # stray bits, or more padding than needed
        raise Wrong("'base64' is not the canonical base64 of its bytes")
    return value
