"""What clients of two stores on one etcd see of each key is linearizable."""

from __future__ import annotations

import itertools

from tests.faults.test_linearizability import CLIENTS, StaleReads, StoreTarget, run_clients

OPERATIONS = 60


def test_stores_on_one_etcd_are_linearizable(open_etcd):
    stores = itertools.cycle([open_etcd() for _ in range(2)])

    recorder = run_clients(lambda: StoreTarget(next(stores)), seed=1, operations=OPERATIONS)

    assert recorder.wrong_keys() == []
    assert recorder.operation_count > CLIENTS * OPERATIONS * 0.6


def test_planted_bug_is_found(store):
    recorder = run_clients(lambda: StaleReads(store), seed=1, operations=OPERATIONS, keys=2)

    assert recorder.wrong_keys() != []
