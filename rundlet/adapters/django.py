"""A cache backend for Django.

    CACHES = {
        "default": {
            "BACKEND": "rundlet.adapters.django.RundletCache",
            "LOCATION": "rundlet://127.0.0.1:8000/cache",
        }
    }

By default values are pickled, as in Django's other backends: a client that may write to the store
can then run code in the app. ``"OPTIONS": {"codec": "cbor"}`` (or ``"json"``) supports fewer types
and runs no code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.redis import RedisSerializer

from rundlet.adapters.caching import CachedBytes
from rundlet.mappings.codecs import CODECS, Codec, CodecName, Tree

Timeout = float | None
"""Seconds; ``None`` for never; or Django's object ``DEFAULT_TIMEOUT``."""


class RundletCache(BaseCache):
    """Values under a prefix; ``incr``, ``decr`` and ``add`` are atomic, and nothing is culled."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        """Make a cache; nothing is sent yet.

        Args:
            location: ``rundlet://HOST:PORT/PREFIX``. ``clear`` removes all keys with the prefix.
            params: of Django. ``OPTIONS`` may have ``token`` (by default the value of the variable
                RUNDLET_TOKEN) and ``codec`` (a name or an object).
        """
        super().__init__(params)
        options = params.get("OPTIONS", {})
        self._bytes = CachedBytes(location, options.get("token"))
        codec: CodecName | Codec[Any] | None = options.get("codec")
        if isinstance(codec, str):
            codec = CODECS[codec]
        self._codec: Codec[Any] = codec or _Pickled()

    def get(self, key: str, default: Tree = None, version: int | None = None) -> Tree:
        """Return a value, or the default if there is none."""
        data = self._bytes.get(self._name(key, version))
        return default if data is None else self._codec.decode(data)

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Tree]:
        """Return the values of those keys that have one, all of one snapshot."""
        names = {self._name(key, version): key for key in keys}
        found = zip(names.values(), self._bytes.get_many(list(names)), strict=True)
        return {key: self._codec.decode(data) for key, data in found if data is not None}

    def set(
        self,
        key: str,
        value: Tree,
        timeout: Timeout = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> None:
        """Store a value."""
        name = self._name(key, version)
        self._bytes.set(name, self._codec.encode(value), self._ttl(timeout))

    def set_many(
        self,
        data: Mapping[str, Tree],
        timeout: Timeout = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[str]:
        """Store many values in few requests."""
        named = {self._name(key, version): self._codec.encode(data[key]) for key in data}
        self._bytes.set_many(named, self._ttl(timeout))
        return []

    def add(
        self,
        key: str,
        value: Tree,
        timeout: Timeout = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        """Store a value if there is none; return whether it was stored."""
        name = self._name(key, version)
        return self._bytes.add(name, self._codec.encode(value), self._ttl(timeout))

    def touch(
        self, key: str, timeout: Timeout = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Give a value another time to live; return false if there is none."""
        return self._bytes.touch(self._name(key, version), self._ttl(timeout))

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove a value; return false if there was none."""
        return self._bytes.delete(self._name(key, version))

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """Remove many values in few requests."""
        self._bytes.delete_many([self._name(key, version) for key in keys])

    def has_key(self, key: str, version: int | None = None) -> bool:
        """Return whether there is a value."""
        return self._bytes.has(self._name(key, version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Add to a number, which keeps its time to live; return the sum.

        Raises:
            ValueError: there is no value.
            TypeError: the value is no number.
        """
        number = self._bytes.incr_existing(self._name(key, version), delta)
        if number is None:
            message = f"Key '{key}' not found."
            raise ValueError(message)
        return number

    def clear(self) -> None:
        """Remove all values under the prefix, including those of other cache versions."""
        self._bytes.clear()

    def _name(self, key: str, version: int | None) -> str:
        name: str = self.make_and_validate_key(key, version=version)
        return name

    def _ttl(self, timeout: Timeout) -> float | None:
        return self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout


class _Pickled:
    """Django's serializer for Redis as a codec: numbers are decimal text, for ``incr``."""

    content_type = "application/octet-stream"

    def __init__(self) -> None:
        self._serializer = RedisSerializer()

    def encode(self, value: Tree) -> bytes:
        dumped = self._serializer.dumps(value)
        return dumped if isinstance(dumped, bytes) else str(dumped).encode()

    def decode(self, data: bytes) -> Tree:
        return self._serializer.loads(data)
