"""A cache for cachelib, and so for Flask-Caching and Flask-Session.

    from rundlet.adapters.cachelib import RundletCache

    cache = RundletCache("rundlet://127.0.0.1:8000/cache")
    cache.set("greeting", "hello", timeout=60)

By default values are pickled, as cachelib does for Redis: a client that may write to the store
can then run code in the app. ``codec="cbor"`` or ``"json"`` supports fewer types and runs no code.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from cachelib.base import BaseCache
from cachelib.serializers import RedisSerializer

from rundlet.adapters.caching import CachedBytes
from rundlet.mappings.codecs import CODECS, Codec, CodecName, Tree


class Serializer(Protocol):
    """A serializer of cachelib; ``dumps`` returns ``None`` if it cannot encode a value."""

    def dumps(self, value: Tree) -> bytes | None:
        """Return the bytes of a value."""

    def loads(self, bvalue: bytes) -> Tree:
        """Return the value that the bytes encode."""


class RundletCache(BaseCache):
    """Values under a prefix; ``inc`` and ``dec`` are atomic, ``clear`` removes the prefix only.

    Attributes:
        serializer: encodes and decodes values; it may be replaced.
    """

    def __init__(
        self,
        address: str,
        default_timeout: int | timedelta = 300,
        *,
        token: str | None = None,
        codec: CodecName | Codec[Any] | None = None,
        ignore_delete_many_errors: bool = True,
    ) -> None:
        """Make a cache; nothing is sent yet.

        Args:
            address: ``rundlet://HOST:PORT/PREFIX``.
            default_timeout: seconds until a value expires; 0: never.
            token: by default the value of the variable RUNDLET_TOKEN.
            codec: encodes and decodes values, instead of pickle.
            ignore_delete_many_errors: as in cachelib; deleting a missing key is not an error.
        """
        super().__init__(default_timeout, ignore_delete_many_errors)
        self._bytes = CachedBytes(address, token)
        self.serializer: Serializer = RedisSerializer() if codec is None else _Coded(codec)

    def get(self, key: str) -> Tree:
        """Return a value; ``None`` if there is none."""
        return self._value(self._bytes.get(key))

    def get_many(self, *keys: str) -> list[Tree]:
        """Return many values of one snapshot, in the order of their keys."""
        return [self._value(data) for data in self._bytes.get_many(keys)]

    def set(self, key: str, value: Tree, timeout: int | timedelta | None = None) -> bool:
        """Store a value; return false if it cannot be encoded."""
        data = self.serializer.dumps(value)
        if data is not None:
            self._bytes.set(key, data, self._ttl(timeout))
        return data is not None

    def add(self, key: str, value: Tree, timeout: int | timedelta | None = None) -> bool:
        """Store a value if there is none; return whether it was stored."""
        data = self.serializer.dumps(value)
        return data is not None and self._bytes.add(key, data, self._ttl(timeout))

    def set_many(
        self, mapping: dict[str, Tree], timeout: int | timedelta | None = None
    ) -> list[str]:
        """Store many values in few requests; return the keys whose values could be encoded."""
        dumped = {key: self.serializer.dumps(value) for key, value in mapping.items()}
        found = {key: data for key, data in dumped.items() if data is not None}
        self._bytes.set_many(found, self._ttl(timeout))
        return list(found)

    def delete(self, key: str) -> bool:
        """Remove a value; return false if there was none."""
        return self._bytes.delete(key)

    def delete_many(self, *keys: str) -> list[str]:
        """Remove many values in few requests; return their keys."""
        self._bytes.delete_many(keys)
        return list(keys)

    def has(self, key: str) -> bool:
        """Return whether there is a value."""
        return self._bytes.has(key)

    def clear(self) -> bool:
        """Remove all values of the cache."""
        self._bytes.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        """Add to a number; return the sum. A missing number counts as 0."""
        return self._bytes.incr(key, delta)

    def dec(self, key: str, delta: int = 1) -> int:
        """Subtract from a number; return the difference. A missing number counts as 0."""
        return self._bytes.incr(key, -delta)

    def _value(self, data: bytes | None) -> Tree:
        return None if data is None else self.serializer.loads(data)

    def _ttl(self, timeout: int | timedelta | None) -> float | None:
        """Return seconds, or ``None`` for never, which is 0 in cachelib."""
        return self._normalize_timeout(timeout) or None


class _Coded:
    """A codec of this package as a serializer."""

    def __init__(self, codec: CodecName | Codec[Any]) -> None:
        self._codec: Codec[Any] = CODECS[codec] if isinstance(codec, str) else codec

    def dumps(self, value: Tree) -> bytes:
        return self._codec.encode(value)

    def loads(self, bvalue: bytes) -> Tree:
        return self._codec.decode(bvalue)
