"""Keys and values of a store in etcd.

All keys of the store NAME begin with ``rundlet/NAME/``, then a letter, ``/`` and::

    d/  key                     the value of a key, in an envelope
    t/  key                     the last deletion or expiry of a key, as a tombstone
    e/  key                     an erased key of which etcd still has history (``erasing``)
    x/  expires_us u64 | key    a key that expires, by time; its value is the size of that value
    c/  16 hex digits           a counter slot (``slots``); every commit writes one, after all else
    m/  id, retention, claim, hold/ID, tokens   what is not data (``identity``, ``retention``)
    o/  idempotency key         an outcome (``outcomes``): forgotten_s u64, then its bytes

Keys below ``d``, ``t``, ``e`` and ``x`` end with the raw UTF-8 bytes of the key. Numbers are
big-endian. An envelope is::

    format u8 | kind u8 (0 put, 1 restore) | time_us u64 | expires_us u64 (0: never)
    | content type size u8 | content type | metadata size u16 | metadata | value

so that ``put a text/plain "v"`` at 1 µs is ``01 00 0000000000000001 0000000000000000 0a
746578742f706c61696e 76``. Format 1 has no metadata, nor a size of it; in format 2 it is a CBOR map
of texts by name. A tombstone is ``kind u8 (0 delete, 1 expire, 2 erase) | time_us u64 | u64``, the
last number being the revision, in etcd, of the value that ended, 0 if it was erased. ``version`` is
etcd's own version of the key: it counts from 1 since the key was created.

An entry below ``x/`` belongs to the value written at the same revision. If the key was written
again meanwhile, the entry is obsolete, and is removed when its time has come.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.metadata import (
    NO_METADATA,
    Metadata,
    decode_metadata,
    encode_metadata,
)
from rundlet_server.storage.timeline import EventKind

ROOT: Final = b"rundlet/"
FORMAT: Final = 1
FORMAT_WITH_METADATA: Final = 2
KINDS: Final[tuple[EventKind, ...]] = ("put", "restore")
ENDS: Final[tuple[EventKind, ...]] = ("delete", "expire", "erase")
_HEAD: Final = struct.Struct(">BBQQB")
_TOMBSTONE: Final = struct.Struct(">BQQ")
_U16: Final = struct.Struct(">H")
_U64: Final = struct.Struct(">Q")


class Envelope(NamedTuple):
    """What the store keeps of a value beside etcd's own fields; see ``Entry``."""

    kind: EventKind
    time_us: int
    expires_us: int | None
    content_type: str
    value: bytes
    metadata: Metadata = NO_METADATA

    def is_lapsed(self, time_us: int) -> bool:
        """Return whether the value has expired by a time."""
        return self.expires_us is not None and self.expires_us <= time_us


class Tombstone(NamedTuple):
    """How a value ended; ``value_revision`` is etcd's revision at which it was written."""

    kind: EventKind
    time_us: int
    value_revision: int


class Layout:
    """The keys of one store.

    Attributes:
        root: all keys begin with it.
    """

    def __init__(self, name: str) -> None:
        self.root = ROOT + name.encode() + b"/"
        self.data = self.root + b"d/"
        self.tombs = self.root + b"t/"
        self.erased = self.root + b"e/"
        self.expiries = self.root + b"x/"
        self.slots = self.root + b"c/"
        self.meta = self.root + b"m/"
        self.outcomes = self.root + b"o/"

    def expiry(self, expires_us: int, key: bytes) -> bytes:
        """Return the key that lists a value by its expiry."""
        return self.expiries + _U64.pack(expires_us) + key

    def expiries_until(self, time_us: int) -> tuple[bytes, bytes]:
        """Return the range of the keys that list values which have expired by a time."""
        return self.expiries, self.expiries + _U64.pack(time_us + 1)

    def expired_key(self, listed: bytes) -> bytes:
        """Return the key in a key made by ``expiry``."""
        return listed[len(self.expiries) + _U64.size :]


def end_of(prefix: bytes) -> bytes:
    """Return the end of the range of all keys that begin with a prefix of ours."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the bytes of an envelope."""
    content_type = envelope.content_type.encode()
    head = _HEAD.pack(
        FORMAT_WITH_METADATA if envelope.metadata else FORMAT,
        KINDS.index(envelope.kind),
        envelope.time_us,
        envelope.expires_us or 0,
        len(content_type),
    )
    if not envelope.metadata:
        return head + content_type + envelope.value
    metadata = encode_metadata(envelope.metadata)
    return head + content_type + _U16.pack(len(metadata)) + metadata + envelope.value


def decode_envelope(kv: pb.KeyValue) -> Envelope:
    """Read an envelope.

    Raises:
        Damaged: the bytes are no envelope; another program wrote them.
    """
    data: bytes = kv.value
    try:
        version, kind, time_us, expires_us, size = _HEAD.unpack_from(data)
        if version not in (FORMAT, FORMAT_WITH_METADATA):
            raise ValueError(f"its format is {version}")
        start = _HEAD.size + size
        content_type = data[_HEAD.size : start].decode()
        metadata = NO_METADATA
        if version == FORMAT_WITH_METADATA:
            size, start = _U16.unpack_from(data, start)[0], start + _U16.size
            metadata = decode_metadata(data[start : start + size])
            start += size
        about = (KINDS[kind], time_us, expires_us or None, content_type)
        return Envelope(*about, data[start:], metadata)
    except (struct.error, ValueError, IndexError) as ex:
        place = kv.key.decode(errors="replace")
        raise Damaged(f"etcd:{place}", 0, f"this is no value of this release: {ex}") from ex


def encode_tombstone(tombstone: Tombstone) -> bytes:
    """Return the bytes of a tombstone."""
    return _TOMBSTONE.pack(ENDS.index(tombstone.kind), *tombstone[1:])


def decode_tombstone(kv: pb.KeyValue) -> Tombstone:
    """Read a tombstone.

    Raises:
        Damaged: its bytes are not those of one.
    """
    try:
        kind, time_us, value_revision = _TOMBSTONE.unpack(kv.value)
        return Tombstone(ENDS[kind], time_us, value_revision)
    except (struct.error, IndexError) as ex:
        place = kv.key.decode(errors="replace")
        raise Damaged(f"etcd:{place}", 0, f"this is no tombstone: {ex}") from ex


def encode_size(size: int) -> bytes:
    """Return the value of an entry below ``x/``."""
    return _U64.pack(size)


def decode_size(data: bytes) -> int:
    """Return the size that ``encode_size`` wrote."""
    return int.from_bytes(data)


def entry_of(key: str, kv: pb.KeyValue, base: int, envelope: Envelope) -> Entry:
    """Return a value as the ``Store`` shows it; ``base`` is etcd's revision of our revision 0."""
    return Entry(
        key,
        envelope.value,
        kv.mod_revision - base,
        kv.version,
        envelope.time_us,
        envelope.content_type,
        envelope.expires_us,
        envelope.metadata,
    )
