r"""A record: one write of one key. The unit that is read, verified and moved.

      0        4       6        8         12     13     14       16         24        32
      ┌────────┬───────┬────────┬─────────┬──────┬──────┬────────┬──────────┬─────────┐
      │ value  │ key   │ meta   │ version │ kind │ type │ zero   │ revision │ time    │
      │ size   │ size  │ size   │         │      │ code │        │          │ µs      │
      │ u32    │ u16   │ u16    │ u32     │ u8   │ u8   │ u16    │ u64      │ u64     │
      ├────────┴───────┴────────┴─────────┴──────┴──────┴────────┴──────────┴─────────┤
      │ key (UTF-8) │ meta (CBOR map, mostly absent) │ value │ CRC32C of all before   │
      └───────────────────────────────────────────────────────────────────────────────┘

All numbers are little-endian. The checksum has no seed: a record carries its own key and
revision, no two records of a store share both, and a reader checks both, so stale, copied or
misplaced bytes cannot pass for another record. That lets compaction move records as they are.

If the value has user metadata, the meta map has a checksum of its own (type code
``TYPE_AND_METADATA``): it is read without the value for lists and histories, and before the value
if that is large. It takes a multiple of ``META_UNIT`` bytes, so that an index row has room for its
size.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import cbor2

from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    METADATA_BYTES_MAX,
    METADATA_COUNT_MAX,
)
from rundlet_server.storage.checksum import CHECKSUM_SIZE, RESIDUE, checksum, is_whole, seal
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Entry,
)
from rundlet_server.storage.metadata import NO_METADATA, Metadata, metadata_in
from rundlet_server.storage.timeline import EventKind

HEADER: Final = struct.Struct("<IHHIBBHQQ")
_OF_VALUE: Final = struct.Struct("<IHHIxBxxQQ")
"""The header without its kind and zeros."""
_KEY_OFFSET: Final = HEADER.size
_new: Final = tuple.__new__
SIZES: Final = struct.Struct("<IHH")
"""The header's first fields: sizes of value, key and meta."""
CHECKSUM: Final = struct.Struct("<I")
OVERHEAD: Final = HEADER.size + CHECKSUM_SIZE
"""Bytes of a record beside key, meta and value."""

PUT: Final = 1
DELETE: Final = 2
EXPIRE: Final = 3
RESTORE: Final = 4
ERASE: Final = 5
OUTCOME: Final = 6
"""The outcome of the commit that the record is in, as its value, under an idempotency key.

Its version is the second, since the epoch, in which it is forgotten. Only the writer and compaction
know of outcomes; all other code takes an outcome for a tombstone, of a key that no request can
name."""
OUTCOME_KEY: Final = b"\xff"
"""The first byte of the key of an outcome, before the idempotency key.

No UTF-8 text has it, so it is above all other keys and outside of every range of them."""

TOMBSTONES: Final = (DELETE, EXPIRE, ERASE, OUTCOME)
"""Kinds after which the key has no value."""
VALUES: Final = (PUT, RESTORE)
"""Kinds with a value."""

KIND_NAMES: Final[Mapping[int, EventKind]] = {
    PUT: "put",
    DELETE: "delete",
    EXPIRE: "expire",
    RESTORE: "restore",
    ERASE: "erase",
}
"""The kinds that are events of a key."""
KINDS: Final = (*KIND_NAMES, OUTCOME)

VERSION_MAX: Final = (1 << 32) - 1
"""The last version of a key that the header can hold."""

META_CONTENT_TYPE: Final = 1
META_EXPIRES_US: Final = 2
META_METADATA: Final = 3

TYPE_IN_META: Final = 255
TYPE_AND_METADATA: Final = 254
"""The content type and the metadata are in the meta map. It is sealed, after zeros that make it a
multiple of ``META_UNIT``. Releases without metadata do not know the code, and take the record for
damaged; they refuse the store by its manifest before that."""
META_UNIT: Final = 16
META_BYTES_MAX: Final = CONTENT_TYPE_BYTES_MAX + METADATA_BYTES_MAX + 5 * METADATA_COUNT_MAX + 64
"""The most bytes that a meta map has: its members, their CBOR headers, and zeros."""
WELL_KNOWN_TYPES: Final = (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    "application/json",
    "text/plain",
    "application/cbor",
    "application/x-www-form-urlencoded",
    "text/html",
    "text/html; charset=utf-8",
)
"""Content types that cost one byte: the type code is the place in this list. Only append."""

COPIED_BYTES_MAX: Final = 4_096
"""To copy a value up to this size costs less than to handle it as a buffer of its own."""

TYPE_CODES: Final = {name: code for code, name in enumerate(WELL_KNOWN_TYPES)}


class BadRecord(Exception):
    """Bytes that are not a whole, legal record; the text says why."""


class Record(NamedTuple):
    """One write of one key."""

    key: bytes
    value: bytes
    kind: int
    revision: int
    version: int
    time_us: int
    content_type: str = DEFAULT_CONTENT_TYPE
    expires_us: int = 0
    metadata: Metadata = NO_METADATA

    @property
    def is_tombstone(self) -> bool:
        """Whether the key has no value from this record on."""
        return self.kind in TOMBSTONES


def encode(record: Record) -> list[Buffer]:
    """Return the bytes of a record, in one buffer or in three: a large value is never copied."""
    key, value, kind, revision, version, time_us, content_type, expires_us, metadata = record
    meta = b""
    code = TYPE_CODES.get(content_type, TYPE_IN_META)
    if metadata:
        code = TYPE_AND_METADATA
        meta = _encode_with_metadata(record)
    elif code == TYPE_IN_META or expires_us:
        meta = _encode_meta(code, record)
    data = HEADER.pack(len(value), len(key), len(meta), version, kind, code, 0, revision, time_us)
    data += key + meta
    if len(value) > COPIED_BYTES_MAX:
        crc = checksum(value, checksum(data))
        return [data, value, crc.to_bytes(CHECKSUM_SIZE, "little")]
    return [seal(data + value)]


def _encode_meta(code: int, record: Record) -> bytes:
    meta: dict[int, str | int] = {}
    if code == TYPE_IN_META:
        meta[META_CONTENT_TYPE] = record.content_type
    if record.expires_us:
        meta[META_EXPIRES_US] = record.expires_us
    return cbor2.dumps(meta)


def _encode_with_metadata(record: Record) -> bytes:
    meta: dict[int, object] = {META_CONTENT_TYPE: record.content_type}
    if record.expires_us:
        meta[META_EXPIRES_US] = record.expires_us
    meta[META_METADATA] = dict(record.metadata)
    data = cbor2.dumps(meta)
    return seal(data + bytes(-(len(data) + CHECKSUM_SIZE) % META_UNIT))


def to_entry(key: str, record: Record) -> Entry:
    """Return the record of a value as readers of the store see it."""
    return Entry(
        key,
        record.value,
        record.revision,
        record.version,
        record.time_us,
        record.content_type,
        record.expires_us or None,
        record.metadata,
    )


def decode_entry(data: bytes, key: str, encoded: bytes, revision: int) -> Entry:
    """Return the value in a record that fills ``data``: the fast path of most reads.

    Args:
        data: the bytes of one record, checksum included.
        key: whose record it must be ...
        encoded: ... the same in UTF-8 ...
        revision: ... and of which revision.

    Raises:
        BadRecord: the checksum does not match, or this is the record of another key or revision.
    """
    if checksum(data) != RESIDUE or len(data) < OVERHEAD:
        raise BadRecord("the checksum of the record does not match")
    value_size, key_size, meta_size, version, code, found, time_us = _OF_VALUE.unpack_from(data)
    meta_offset = _KEY_OFFSET + key_size
    value_offset = meta_offset + meta_size
    if found != revision or data[_KEY_OFFSET:meta_offset] != encoded:
        raise BadRecord("this is the record of another key or revision")
    if len(data) != value_offset + value_size + CHECKSUM_SIZE:
        raise BadRecord("the lengths do not add up")
    value = data[value_offset:-CHECKSUM_SIZE]
    if code < len(WELL_KNOWN_TYPES) and not meta_size:
        known = WELL_KNOWN_TYPES[code]
        # As ``Entry(...)``, which takes twice as long.
        return _new(Entry, (key, value, revision, version, time_us, known, None, NO_METADATA))
    content_type, expires_us, metadata = decode_meta(code, data[meta_offset:value_offset])
    return Entry(key, value, revision, version, time_us, content_type, expires_us or None, metadata)


def decode_entries(
    data: Sequence[bytes], keys: Sequence[str], encoded: Sequence[bytes], revisions: Sequence[int]
) -> list[Entry]:
    """Do as ``decode_entry`` does, for many records, and in three quarters of the time."""
    if set(map(checksum, data)) != {RESIDUE} or min(map(len, data)) < OVERHEAD:
        raise BadRecord("the checksum of a record does not match")
    entries: list[Entry] = []
    fields = zip(data, keys, encoded, revisions, map(_OF_VALUE.unpack_from, data), strict=True)
    for record, key, key_bytes, revision, header in fields:
        value_size, key_size, meta_size, version, code, found, time_us = header
        if meta_size or code >= len(WELL_KNOWN_TYPES):
            entries.append(decode_entry(record, key, key_bytes, revision))
            continue
        value_offset = _KEY_OFFSET + key_size
        if found != revision or record[_KEY_OFFSET:value_offset] != key_bytes:
            raise BadRecord("this is the record of another key or revision")
        if len(record) != value_offset + value_size + CHECKSUM_SIZE:
            raise BadRecord("the lengths do not add up")
        value, known = record[value_offset:-CHECKSUM_SIZE], WELL_KNOWN_TYPES[code]
        about = (key, value, revision, version, time_us, known, None, NO_METADATA)
        entries.append(_new(Entry, about))
    return entries


def decode(data: bytes, *, verify: bool = True) -> Record:
    """Return the record that fills ``data`` exactly.

    Args:
        data: the bytes of one record, checksum included.
        verify: check the checksum; false if the caller has checked it.

    Raises:
        BadRecord: the checksum does not match, or the lengths do not add up.
    """
    if len(data) < OVERHEAD:
        raise BadRecord(f"{len(data)} bytes are too few for a record")
    if verify and checksum(data) != RESIDUE:
        raise BadRecord("the checksum of the record does not match")
    header = HEADER.unpack_from(data)
    value_size, key_size, meta_size, version, kind, code, _, revision, time_us = header
    if len(data) != OVERHEAD + key_size + meta_size + value_size:
        raise BadRecord("the lengths do not add up")
    meta_offset = HEADER.size + key_size
    value_offset = meta_offset + meta_size
    return Record(
        data[HEADER.size : meta_offset],
        data[value_offset:-CHECKSUM_SIZE],
        kind,
        revision,
        version,
        time_us,
        *decode_meta(code, data[meta_offset:value_offset]),
    )


def decode_meta(code: int, meta: Buffer) -> tuple[str, int, Metadata]:
    """Return content type, expiry (microseconds since the epoch, 0 for never) and metadata.

    Raises:
        BadRecord: the bytes are not what ``encode`` writes.
    """
    if code < len(WELL_KNOWN_TYPES) and not meta:
        return WELL_KNOWN_TYPES[code], 0, NO_METADATA
    if code >= len(WELL_KNOWN_TYPES) and code not in (TYPE_IN_META, TYPE_AND_METADATA):
        raise BadRecord(f"unknown type code {code}")
    if code == TYPE_AND_METADATA and (len(meta) % META_UNIT or not is_whole(meta)):
        raise BadRecord("the checksum of the meta map does not match")
    fields = _meta_fields(meta)
    is_known = code < len(WELL_KNOWN_TYPES)
    content_type = WELL_KNOWN_TYPES[code] if is_known else fields.get(META_CONTENT_TYPE)
    expires_us = fields.get(META_EXPIRES_US, 0)
    if not isinstance(content_type, str) or not isinstance(expires_us, int):
        raise BadRecord("the meta map has a member of the wrong type")
    if code != TYPE_AND_METADATA:
        return content_type, expires_us, NO_METADATA
    try:
        return content_type, expires_us, metadata_in(fields.get(META_METADATA))
    except ValueError as ex:
        raise BadRecord(str(ex)) from ex


def _meta_fields(meta: Buffer) -> dict[object, object]:
    try:
        fields = cbor2.loads(bytes(meta))
    except (cbor2.CBORDecodeError, ValueError, TypeError) as ex:
        raise BadRecord(f"the meta map cannot be read: {ex}") from ex
    if not isinstance(fields, dict):
        raise BadRecord("the meta map is not a CBOR map")
    return fields
