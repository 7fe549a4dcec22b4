"""Transactions with idempotency keys in random workloads, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from rundlet_server.storage.bounds import IDEMPOTENCY_S_DEFAULT
from rundlet_server.storage.interface import Op, Put, Store, Txn
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency
from tests.support.disks.sample_stores import State

ONCE: Final = "once"
"""Every numbered transaction writes its number to this key, and so tells whether it was done."""

idempotencies = st.builds(
    Idempotency,
    st.sampled_from([bytes(KEY_SIZE), b"k" * KEY_SIZE]),
    st.sampled_from([b"one", b"two"]),
    st.sampled_from([5, IDEMPOTENCY_S_DEFAULT]),
)
"""Few keys for few requests, so that they come again."""


def numbered(ops: Sequence[Op], number: int) -> Txn:
    """Return a transaction that is done once, and later than those with lower numbers."""
    return Txn([*ops, Put(ONCE, b"%d" % number)], idempotency=_idempotency(number))


def check_outcomes(store: Store, found: State) -> None:
    """Check that the newest transaction that was done is remembered, and none that was not."""
    newest = int(found[ONCE][0]) if ONCE in found else 0
    for number in (newest, newest + 1, newest + 2):
        remembered = store.commit(Txn([], idempotency=_idempotency(number)))
        assert remembered.is_replay == (0 < number == newest), number


def _idempotency(number: int) -> Idempotency:
    return Idempotency(number.to_bytes(KEY_SIZE), b"%d" % number, IDEMPOTENCY_S_DEFAULT)
