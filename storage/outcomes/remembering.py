"""The outcome of a transaction as every backend keeps it: a CBOR array.

    [fingerprint, succeeded, results, numbers, note]

Each result is a number: twice the version of its key, plus 1 if the key had a value before.
``numbers`` are those of ``Add``, by their place. The revision is that of the commit. The outcome of
a put of a new key, with the fingerprint ``00 01``, is ``85 42 0001 f5 81 02 a0 40``.
"""

from __future__ import annotations

import cbor2

from rundlet_server.storage.bounds import OUTCOME_BYTES_MAX
from rundlet_server.storage.errors import Damaged, IdempotencyKeyReused, LimitExceeded
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit, OpResult


def encode_outcome(idempotency: Idempotency, commit: Commit) -> bytes:
    """Return the bytes to remember of a commit.

    Raises:
        LimitExceeded: it has too many results.
    """
    data = cbor2.dumps(
        (
            idempotency.fingerprint,
            commit.succeeded,
            [result.version << 1 | result.found for result in commit.results],
            {n: each.number for n, each in enumerate(commit.results) if each.number is not None},
            idempotency.note,
        )
    )
    if len(data) > OUTCOME_BYTES_MAX:
        raise LimitExceeded("outcome_bytes_max", OUTCOME_BYTES_MAX, len(data))
    return data


def replayed(data: bytes, idempotency: Idempotency, revision: int) -> Commit:
    """Return the outcome of a transaction that was done before.

    Args:
        data: what ``encode_outcome`` returned then.
        idempotency: of the transaction that is sent now.
        revision: of the commit.

    Raises:
        IdempotencyKeyReused: another request was done with this key.
        Damaged: these are not the bytes of an outcome.
    """
    try:
        fingerprint, succeeded, versions, numbers, note = cbor2.loads(data)
        results = tuple(
            OpResult(bool(each & 1), each >> 1, numbers.get(place))
            for place, each in enumerate(versions)
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError, AttributeError) as ex:
        reason = f"this is no outcome: {ex}"
        raise Damaged(f"idempotency key {idempotency.key.hex()}", 0, reason) from ex
    if fingerprint != idempotency.fingerprint:
        raise IdempotencyKeyReused
    return Commit(succeeded, revision, results, note)
