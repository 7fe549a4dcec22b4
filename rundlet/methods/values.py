"""Methods on one value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rundlet.calls import values
from rundlet.calls.values import Demand
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.model import KeyInfo, Value, Written


class ValueMethods(Methods):
    """Read and write one value."""

    def get(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Value | None:
        """Return a value of a key, current or earlier, or a part of it; ``None`` for none.

        Args:
            key: the key.
            revision: as of this revision; ``revision``, ``at`` and ``version`` exclude each other.
            at: as of this time; text is in the form of RFC 3339.
            version: the n-th write of the key since it was last created.
            start: offset of the first byte; if it is negative, return so many of the last bytes.
                ``size`` of the result is the size of the whole value.
            end: offset after the last byte; not negative, and not with a negative ``start``.

        Raises:
            Compacted: the value is no longer kept.
        """
        return self._run(
            values.get(key, revision=revision, at=at, version=version, start=start, end=end)
        )

    def get_bytes(self, key: str) -> bytes | None:
        """Return the bytes of a key's value; ``None`` if it has none."""
        return self._run(values.get_bytes(key))

    def head(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> KeyInfo | None:
        """Return the details of a key's value, without its bytes; ``None`` if it has none.

        Arguments and errors are as in ``get``.
        """
        return self._run(values.head(key, revision=revision, at=at, version=version))

    def exists(self, key: str) -> bool:
        """Return whether a key has a value."""
        return self._run(values.exists(key))

    def set(
        self,
        key: str,
        value: bytes | str,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_revision: int | None = None,
        if_match: str | None = None,
    ) -> Written:
        """Store a value.

        Args:
            key: any text that is not empty.
            value: bytes, or text to be stored as UTF-8.
            ttl: seconds until the key expires, at most 100 years (3,162,240,000 seconds); without
                it, the key does not expire.
            content_type: by default ``application/octet-stream``; for text ``text/plain``.
            meta: metadata to store with it, at most 16 texts by name and 2 KiB in all. Names have
                letters, digits and ``-``, and are returned in lower case.
            if_absent: store it only if the key has no value.
            if_revision: store it only if this is still the key's revision.
            if_match: store it only if this is still the value's ETag.

        Raises:
            PreconditionFailed: the key does not meet the condition; nothing was changed.
            TooLarge: the key or the value is larger than the server allows.
            ReadOnly: this server takes no writes.
        """
        demand = Demand(if_absent, if_revision, if_match)
        return self._run(
            values.set_value(
                key, value, ttl=ttl, content_type=content_type, meta=meta, demand=demand
            )
        )

    def delete(
        self, key: str, *, if_revision: int | None = None, if_match: str | None = None
    ) -> bool:
        """Remove a key; return false if it had no value.

        Raises:
            PreconditionFailed: the key does not meet the condition; nothing was changed.
            ReadOnly: this server takes no writes.
        """
        demand = Demand(if_revision=if_revision, if_match=if_match)
        return self._run(values.delete(key, demand))

    def incr(self, key: str, by: int = 1) -> int:
        """Add to a value that is decimal text, and return the sum; a missing key counts as 0.

        Raises:
            BadRequest: the value is not decimal text.
        """
        return self._run(values.incr(key, by))

    def touch(self, key: str, ttl: float | None = None) -> bool:
        """Give a key a new time to live; return false if it has no value.

        The value is kept, and gets a new revision.

        Args:
            key: the key.
            ttl: seconds until the key expires; without it, the key no longer expires.

        Raises:
            ReadOnly: this server takes no writes.
        """
        return self._run(values.touch(key, ttl))


class AsyncValueMethods(AsyncMethods):
    """Does as ``ValueMethods`` does."""

    async def get(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Value | None:
        """Return a value of a key, current or earlier, or a part of it; ``None`` for none."""
        return await self._run(
            values.get(key, revision=revision, at=at, version=version, start=start, end=end)
        )

    async def get_bytes(self, key: str) -> bytes | None:
        """Return the bytes of a key's value; ``None`` if it has none."""
        return await self._run(values.get_bytes(key))

    async def head(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> KeyInfo | None:
        """Return the details of a key's value, without its bytes; ``None`` if it has none."""
        return await self._run(values.head(key, revision=revision, at=at, version=version))

    async def exists(self, key: str) -> bool:
        """Return whether a key has a value."""
        return await self._run(values.exists(key))

    async def set(
        self,
        key: str,
        value: bytes | str,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_revision: int | None = None,
        if_match: str | None = None,
    ) -> Written:
        """Store a value."""
        demand = Demand(if_absent, if_revision, if_match)
        return await self._run(
            values.set_value(
                key, value, ttl=ttl, content_type=content_type, meta=meta, demand=demand
            )
        )

    async def delete(
        self, key: str, *, if_revision: int | None = None, if_match: str | None = None
    ) -> bool:
        """Remove a key; return false if it had no value."""
        demand = Demand(if_revision=if_revision, if_match=if_match)
        return await self._run(values.delete(key, demand))

    async def incr(self, key: str, by: int = 1) -> int:
        """Add to a value that is decimal text, and return the sum; a missing key counts as 0."""
        return await self._run(values.incr(key, by))

    async def touch(self, key: str, ttl: float | None = None) -> bool:
        """Give a key a new time to live; return false if it has no value."""
        return await self._run(values.touch(key, ttl))
