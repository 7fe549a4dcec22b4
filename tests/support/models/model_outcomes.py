"""The outcomes that ``ModelStore`` remembers, each with its idempotency key."""

from __future__ import annotations

from typing import NamedTuple

from rundlet_server.storage.bounds import OUTCOME_BYTES_MAX
from rundlet_server.storage.errors import IdempotencyKeyReused, LimitExceeded
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit


class Remembered(NamedTuple):
    """A transaction that was done."""

    forgotten_s: int
    idempotency: Idempotency
    commit: Commit


class ModelOutcomes:
    """Everything that was ever done with a key, by that key."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Remembered] = {}

    def revisions(self) -> set[int]:
        """Return the revisions of all commits that were done with a key."""
        return {each.commit.revision for each in self._by_key.values()}

    def recall(self, idempotency: Idempotency | None, now_us: int) -> Commit | None:
        found = self._by_key.get(idempotency.key) if idempotency else None
        if found is None or idempotency is None or found.forgotten_s * 1_000_000 <= now_us:
            return None
        if found.idempotency.fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReused
        return found.commit._replace(note=found.idempotency.note)

    def remember(self, idempotency: Idempotency | None, commit: Commit, now_us: int) -> None:
        if idempotency is not None:
            if len(idempotency.note) > OUTCOME_BYTES_MAX - 100:
                raise LimitExceeded("outcome_bytes_max", OUTCOME_BYTES_MAX, len(idempotency.note))
            forgotten_s = idempotency.forgotten_s(now_us)
            self._by_key[idempotency.key] = Remembered(forgotten_s, idempotency, commit)
