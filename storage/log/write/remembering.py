"""Outcomes in the log: each is a record of its own in the frame of its commit.

So replay, index files, compaction, backups and other processes treat an outcome as any record.
"""

from __future__ import annotations

from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import OUTCOME, OUTCOME_KEY, Record
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.remembering import encode_outcome
from rundlet_server.storage.outcomes.results import Commit


def outcome_key(idempotency: Idempotency) -> bytes:
    """Return the key of the record."""
    return OUTCOME_KEY + idempotency.key


def outcome_record(idempotency: Idempotency, commit: Commit, time_us: int) -> Record:
    """Return the record that remembers the outcome of a commit made at ``time_us``.

    Raises:
        LimitExceeded: see ``encode_outcome``.
    """
    data = encode_outcome(idempotency, commit)
    forgotten_s = idempotency.forgotten_s(time_us)
    return Record(outcome_key(idempotency), data, OUTCOME, commit.revision, forgotten_s, time_us)


def is_forgotten(outcome: Locator, time_us: int) -> bool:
    """Return whether an outcome is forgotten by a time."""
    return outcome.version * 1_000_000 <= time_us
