"""A backend for dogpile.cache, with a mutex so that one process at a time creates a value.

    from dogpile.cache import make_region

    region = make_region().configure(
        "rundlet", expiration_time=60, arguments={"address": "rundlet://127.0.0.1:8000/cache"}
    )

dogpile.cache pickles values by default: a client that may write to the store can then run code in
the app. ``serializer`` and ``deserializer`` of ``make_region`` replace pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dogpile.cache.api import NO_VALUE, BytesBackend, CacheMutex
from dogpile.cache.api import SerializedReturnType as Found

from rundlet.adapters.caching import CachedBytes
from rundlet.errors import LockLost
from rundlet.locks import Lock


class RundletBackend(BytesBackend):
    """Values under a prefix, and locks of values that are being created."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Make a backend; nothing is sent yet.

        Args:
            arguments: ``address`` is ``rundlet://HOST:PORT/PREFIX``. ``token`` is by default the
                value of the variable RUNDLET_TOKEN. The server removes a value after ``ttl``
                seconds (by default never), which should be more than the ``expiration_time`` of the
                region. If a process dies, its lock is free after ``lock_ttl`` seconds (by default
                30). With ``distributed_lock`` (the default), other processes wait, too.
        """
        self._bytes = CachedBytes(arguments["address"], arguments.get("token"))
        self._ttl: float | None = arguments.get("ttl")
        self._lock_ttl: float = arguments.get("lock_ttl", 30.0)
        self._is_distributed: bool = arguments.get("distributed_lock", True)

    def get_mutex(self, key: str) -> CacheMutex | None:
        """Return the lock of a key, not acquired yet."""
        if not self._is_distributed:
            return None
        name = f"{self._bytes.prefix}lock:{key}"
        return Mutex(self._bytes, name, self._lock_ttl)

    def get_serialized(self, key: str) -> Found:
        """Return a value; ``NO_VALUE`` if there is none."""
        data = self._bytes.get(key)
        return NO_VALUE if data is None else data

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Found]:
        """Return many values of one snapshot, in the order of their keys."""
        return [NO_VALUE if data is None else data for data in self._bytes.get_many(keys)]

    def set_serialized(self, key: str, value: bytes) -> None:
        """Store a value."""
        self._bytes.set(key, value, self._ttl)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        """Store many values in few requests."""
        self._bytes.set_many(mapping, self._ttl)

    def delete(self, key: str) -> None:
        """Remove a value, if there is one."""
        self._bytes.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Remove many values in few requests."""
        self._bytes.delete_many(keys)


class Mutex(CacheMutex):
    """A lock of the store with the interface of dogpile.cache."""

    def __init__(self, place: CachedBytes, name: str, ttl: float) -> None:
        """See ``RundletBackend.get_mutex``."""
        self._place = place
        self._name = name
        self._ttl = ttl
        self._held: Lock | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Acquire the lock; without ``wait``, return false if it is not free."""
        lock = self._place.client.lock(self._name, ttl=self._ttl)
        if not lock.acquire(timeout_s=None if wait else 0):
            return False
        self._held = lock
        return True

    def release(self) -> None:
        """Release the lock; do nothing if it was lost, as another process may hold it."""
        lock, self._held = self._held, None
        if lock is not None:
            try:
                lock.release()
            except LockLost:
                return

    def locked(self) -> bool:
        """Return whether any process holds the lock."""
        return self._place.client.exists(self._name)
