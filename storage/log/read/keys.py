"""Encode the keys of requests; a key may have been stored under a higher limit."""

from __future__ import annotations

from rundlet_server.storage.bounds import KEY_BYTES_LIMIT
from rundlet_server.storage.errors import LimitExceeded
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.requests import encode_key


class KnownKeys:
    """Encodes the keys that are to be read or deleted."""

    def __init__(self, limits: Limits, follower: Follower) -> None:
        self._limits = limits
        self._follower = follower

    def encode(self, key: str) -> bytes:
        """Return the UTF-8 bytes of a key; a stored key may exceed the present limit.

        Raises:
            InvalidKey, LimitExceeded: see ``encode_key``.
        """
        try:
            return encode_key(key, self._limits)
        except LimitExceeded as ex:
            return self.old(key, ex)

    def old(self, key: str, refusal: LimitExceeded) -> bytes:
        """Return a key that was written under a higher limit; raise ``refusal`` if there is none.

        Lists hold such a key, so it can be read, and deleted.
        """
        encoded = key.encode()
        if len(encoded) > KEY_BYTES_LIMIT or self._follower.current().find(encoded) is None:
            raise refusal
        return encoded
