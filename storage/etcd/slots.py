"""Counter slots: exact counts of the store without a key for which every commit would compete.

A slot is a key that one writer at a time owns. Every commit writes the slot of its writer, as the
last operation, on the condition that no other writer has written it. So

* the sum of all slots, at any revision, is the number of keys and bytes at that revision;
* the newest time among them is the time of that revision, which never goes back;
* the highest revision among them is that of the newest commit, and in the feed of all keys a slot
  is the end of a commit;
* a commit whose answer was lost can be decided: if its slot was written, it was applied; if
  another write of the slot wins, it never will be (``commits``).

A writer that ends leaves its slot behind. When there are many, ``tidying`` adds some up in one; an
owner that comes back loses its next write, and takes a new slot. A slot is::

    sequence u64 | keys i64 | value bytes i64 | time_us u64
"""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.etcd.layout import Layout
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb

_SLOT: Final = struct.Struct(">QqqQ")


class Counts(NamedTuple):
    """What one slot says, or all of them together.

    Attributes:
        sequence: of the slot's writes.
        key_count, value_bytes: of the writes counted here; may be negative in one slot.
        time_us: of the newest commit.
    """

    sequence: int = 0
    key_count: int = 0
    value_bytes: int = 0
    time_us: int = 0

    def after(self, keys: int, value_bytes: int, time_us: int) -> Counts:
        """Return the counts after a commit."""
        return Counts(
            self.sequence + 1, self.key_count + keys, self.value_bytes + value_bytes, time_us
        )

    def encode(self) -> bytes:
        """Return the bytes of a slot."""
        return _SLOT.pack(*self)


class Summary(NamedTuple):
    """All slots at one revision; ``revision`` is etcd's, of the newest commit, 0 if none."""

    key_count: int
    value_bytes: int
    time_us: int
    revision: int


@dataclass(slots=True)
class Slot:
    """A slot that a writer owns; ``revision`` is that of its last write, 0 if it has none yet."""

    key: bytes
    revision: int
    counts: Counts


class SlotPool:
    """The slots of one process. Any thread may use it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._free: list[Slot] = []

    def take(self) -> Slot:
        """Return a slot that no other thread has."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return Slot(self._layout.slots + secrets.token_hex(8).encode(), 0, Counts())

    def give_back(self, slot: Slot) -> None:
        """Return a slot whose last write is known; a slot in doubt is dropped instead."""
        with self._lock:
            self._free.append(slot)


def decode_slot(kv: pb.KeyValue) -> Counts:
    """Read a slot.

    Raises:
        Damaged: its bytes are not those of one.
    """
    try:
        return Counts(*_SLOT.unpack(kv.value))
    except struct.error as ex:
        raise Damaged(f"etcd:{kv.key.decode(errors='replace')}", 0, f"no slot: {ex}") from ex


def sum_of(kvs: Iterable[pb.KeyValue]) -> Summary:
    """Add up slots."""
    keys = value_bytes = time_us = revision = 0
    for kv in kvs:
        counts = decode_slot(kv)
        keys += counts.key_count
        value_bytes += counts.value_bytes
        time_us = max(time_us, counts.time_us)
        revision = max(revision, kv.mod_revision)
    return Summary(keys, value_bytes, time_us, revision)
