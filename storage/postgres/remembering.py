"""Outcomes of commits in the table ``outcomes``, written in the transaction of the commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rundlet_server.storage.interface import Txn
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.remembering import encode_outcome, replayed
from rundlet_server.storage.outcomes.results import Commit

FIND: Final = "SELECT id, rev, forgotten_s, outcome FROM {outcomes} WHERE id = ANY(%b::bytea[])"
REMEMBER: Final = """
INSERT INTO {outcomes} (id, rev, forgotten_s, outcome)
    SELECT * FROM unnest(%b::bytea[], %b::bigint[], %b::bigint[], %b::bytea[])
    ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, forgotten_s = excluded.forgotten_s,
        outcome = excluded.outcome
"""
FORGET: Final = """
DELETE FROM {outcomes} WHERE id IN
    (SELECT id FROM {outcomes} WHERE forgotten_s <= %s ORDER BY forgotten_s LIMIT %s)
"""


class _Outcome(NamedTuple):
    """A row of ``outcomes``."""

    key: bytes
    revision: int
    forgotten_s: int
    data: bytes


class Outcomes:
    """The outcomes that a batch of transactions finds and makes."""

    def __init__(self, found: Iterable[Sequence[object]], time_us: int) -> None:
        """Take the rows of ``FIND``, except those forgotten by the time of the batch."""
        rows = [_Outcome(*row) for row in found]  # type: ignore[arg-type] # by ``FIND``
        self._known = {row.key: row for row in rows if row.forgotten_s * 1_000_000 > time_us}
        self._made: dict[bytes, _Outcome] = {}
        self._time_us = time_us

    def done_before(self, idempotency: Idempotency) -> Commit | None:
        """Return the outcome that is remembered for a key."""
        outcome = self._made.get(idempotency.key) or self._known.get(idempotency.key)
        return outcome and replayed(outcome.data, idempotency, outcome.revision)

    def remember(self, idempotency: Idempotency, commit: Commit) -> None:
        """Remember what was done.

        Raises:
            LimitExceeded: see ``encode_outcome``.
        """
        data = encode_outcome(idempotency, commit)
        forgotten_s = idempotency.forgotten_s(self._time_us)
        key = idempotency.key
        self._made[key] = _Outcome(key, commit.revision, forgotten_s, data)

    def made(self) -> list[list[object]] | None:
        """Return the arguments of ``REMEMBER``; ``None`` if there is nothing to remember."""
        rows = self._made.values()
        return [list(column) for column in zip(*rows, strict=True)] if rows else None


def keys_of(transactions: Iterable[Txn]) -> list[bytes]:
    """Return the idempotency keys of transactions."""
    return [txn.idempotency.key for txn in transactions if txn.idempotency is not None]
