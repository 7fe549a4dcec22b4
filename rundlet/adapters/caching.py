"""The base of the cache adapters: encoded values under a prefix, with times to live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rundlet.adapters.places import shared_client, split_prefix, token_or_variable
from rundlet.errors import BadRequest, Conflict, PreconditionFailed
from rundlet.model import Add, Condition


class CachedBytes:
    """The keys with a prefix, which belong to one cache."""

    def __init__(self, address: str, token: str | None = None) -> None:
        """Make a cache; nothing is sent yet.

        Args:
            address: ``rundlet://HOST:PORT/PREFIX``. ``clear`` removes all keys with the prefix.
            token: by default the value of the variable RUNDLET_TOKEN.

        Raises:
            BadRequest: the address has no prefix.
        """
        url, self.prefix = split_prefix(address)
        self.client = shared_client(url, token_or_variable(token))

    def get(self, key: str) -> bytes | None:
        """Return a value; ``None`` if there is none."""
        return self.client.get_bytes(self.prefix + key)

    def get_many(self, keys: Iterable[str]) -> list[bytes | None]:
        """Return many values, in the order of their keys."""
        found = self.client.mget([self.prefix + key for key in keys])
        return [None if value is None else value.data for value in found]

    def set(self, key: str, data: bytes, ttl: float | None) -> None:
        """Store a value; if ``ttl`` is 0 or less, remove it instead."""
        if ttl is not None and ttl <= 0:
            self.delete(key)
        else:
            self.client.set(self.prefix + key, data, ttl=ttl)

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        """Store many values; if ``ttl`` is 0 or less, remove them instead."""
        named = {self.prefix + key: data for key, data in values.items()}
        if ttl is not None and ttl <= 0:
            self.client.delete_many(named)
        else:
            self.client.set_many(named, ttl=ttl)

    def add(self, key: str, data: bytes, ttl: float | None) -> bool:
        """Store a value if there is none; return whether it was stored."""
        if ttl is not None and ttl <= 0:
            return not self.has(key)
        try:
            self.client.set(self.prefix + key, data, ttl=ttl, if_absent=True)
        except PreconditionFailed:
            return False
        return True

    def touch(self, key: str, ttl: float | None) -> bool:
        """Give a value another time to live; return false if there is none."""
        if ttl is not None and ttl <= 0:
            return self.delete(key)
        return self.client.touch(self.prefix + key, ttl)

    def delete(self, key: str) -> bool:
        """Remove a value; return false if there was none."""
        return self.client.delete(self.prefix + key)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove many values; return how many there were."""
        return self.client.delete_many(self.prefix + key for key in keys)

    def has(self, key: str) -> bool:
        """Return whether there is a value."""
        return self.client.exists(self.prefix + key)

    def incr(self, key: str, by: int) -> int:
        """Add to a number; return the sum. A missing number counts as 0.

        Raises:
            TypeError: the value is no number.
        """
        try:
            return self.client.incr(self.prefix + key, by)
        except BadRequest as ex:
            raise TypeError(str(ex)) from ex

    def incr_existing(self, key: str, by: int) -> int | None:
        """Add to a number, and return the sum; ``None`` if there is none.

        Raises:
            TypeError: the value is no number.
        """
        name = self.prefix + key
        try:
            commit = self.client.txn([Add(name, by)], conditions=[Condition(name, exists=True)])
        except Conflict:
            return None
        except BadRequest as ex:
            raise TypeError(str(ex)) from ex
        return commit.results[0].number

    def clear(self) -> None:
        """Remove all values of the cache, and no others."""
        self.client.delete_prefix(self.prefix)
