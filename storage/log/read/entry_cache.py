"""A bounded cache of values that were read, in front of index files and segments.

A cache belongs to the views that share one newest delta. Only that delta can change the newest
value of a key, so a cached value is still the newest unless the delta has a newer one. The reader
looks in the delta first, and a write never has to remove an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rundlet_server.storage.interface import Entry
from rundlet_server.storage.log.read.disposal import Disposal
from rundlet_server.storage.metadata import metadata_bytes

ENTRY_OVERHEAD: Final = 600
"""Bytes of memory that an entry takes beside its key and value, about."""
METADATA_OVERHEAD: Final = 200
"""Bytes that a name and a text of its metadata take beside their characters, about."""
_SHARE_MAX: Final = 256
"""A value larger than this part of the cache is not kept."""


_STEPS: Final = _SHARE_MAX // 2
"""Steps while a generation fills, if each adds the size of the largest entry; as a step may add up
to twice that, there are at least half as many."""


class EntryCache:
    """Entries by key, in two generations: when the young one is full, the old one is dropped.

    A dropped generation is freed by the puts that fill the next one, a part of it at every step. So
    it is gone before the next one is dropped, and the cache never takes more than one and a half
    times ``bytes_max``, however fast it is filled. The alternative, a thread that frees little by
    little, has no such bound: busy readers fill the cache faster. To free an equal part with each
    put would cost more: with steps, most puts only compare two numbers.

    Any thread may use it. If two threads put at the same moment, the cache may count an entry twice
    or not at all, which moves the bound by a little.
    """

    def __init__(self, bytes_max: int, disposal: Disposal) -> None:
        self._generation_bytes_max = bytes_max // 2
        self._entry_bytes_max = bytes_max // _SHARE_MAX
        self._young: dict[bytes, Entry] = {}
        self._old: dict[bytes, Entry] = {}
        self._dropped: dict[bytes, Entry] = {}
        self._young_bytes = 0
        self._next_step_bytes = self._entry_bytes_max
        self._freed_at_once = 0
        self._disposal = disposal

    def __del__(self) -> None:
        self._disposal.add(self._young, self._old, self._dropped)

    def get(self, key: bytes) -> Entry | None:
        """Return the entry that was put last for a key, if it is still here."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is not None:
                self.put(key, entry)
        return entry

    def get_many(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """Do as ``get`` does, for many keys."""
        found = list(map(self._young.get, keys))
        if self._old:
            for number, entry in enumerate(found):
                if entry is None:
                    found[number] = self.get(keys[number])
        return found

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry."""
        size = 2 * len(key) + len(entry.value) + ENTRY_OVERHEAD
        if entry.metadata:
            size += metadata_bytes(entry.metadata) + METADATA_OVERHEAD * len(entry.metadata)
        if size > self._entry_bytes_max:
            return
        self._young[key] = entry
        self._young_bytes += size
        if self._young_bytes >= self._next_step_bytes:
            self._step()

    def _step(self) -> None:
        """Free a part of the dropped generation; begin a new one if the next entry may not fit."""
        dropped = self._dropped
        try:
            for _ in range(min(self._freed_at_once, len(dropped))):
                dropped.popitem()
        except KeyError:
            pass  # another thread has taken the last entry
        if self._young_bytes + self._entry_bytes_max > self._generation_bytes_max:
            self._disposal.add(dropped)  # empty, except for what threads have miscounted
            self._dropped, self._old = self._old, self._young
            self._young, self._young_bytes = {}, 0
            self._freed_at_once = len(self._dropped) // (_STEPS // 2 - 2) + 1
        self._next_step_bytes = self._young_bytes + self._entry_bytes_max
