"""The key that makes a transaction idempotent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rundlet_server.storage.bounds import IDEMPOTENCY_S_MAX

KEY_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The key under which the outcome of a transaction is remembered.

    Attributes:
        key: ``KEY_SIZE`` bytes, a digest of the client's key and the client's identity.
        fingerprint: a digest of the request.
        keep_s: how long the outcome is remembered.
        note: comes back with the outcome, as ``Commit.note``.
    """

    key: bytes
    fingerprint: bytes
    keep_s: int
    note: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what no record can hold."""
        assert len(self.key) == KEY_SIZE
        assert 0 < self.keep_s <= IDEMPOTENCY_S_MAX

    def forgotten_s(self, time_us: int) -> int:
        """Return the second in which the outcome of a commit of this time is forgotten."""
        return -(-time_us // 1_000_000) + self.keep_s
