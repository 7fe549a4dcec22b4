"""Test that writes which are sent again with their idempotency key are done once.

The answer to the first of them is lost, or both are in flight at once, in two processes. The
checker of linearizability finds what is done twice; planted bugs show that it does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.interface import Add, Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.settings import StoreSettings
from tests.faults.test_linearizability import StoreTarget, run_clients
from tests.support.disks.unsynced_files import UnsyncedFiles


class AskedTwice:
    """A store that every transaction is sent to twice; only the second answer is read."""

    def __init__(self, store: LogStore, other: LogStore, chance: random.Random) -> None:
        self.get = store.get
        self.get_many = store.get_many
        self._stores = (store, other)
        self._chance = chance

    def commit(self, txn: Txn) -> Commit:
        once = Idempotency(self._chance.randbytes(KEY_SIZE), b"", 60)
        first, second = [dataclasses.replace(txn, idempotency=each) for each in self.keys(once)]
        store, other = self._chance.sample(self._stores, 2)
        # What may be refused must not be in flight when its second answer is read: the first one
        # could still find what the second did not.
        if all(isinstance(op, Put | Add) for op in txn.then) and not txn.conditions:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(store.commit, first)
                return other.commit(second)
        with contextlib.suppress(StoreError):
            store.commit(first)
        return other.commit(second)

    def keys(self, once: Idempotency) -> tuple[Idempotency | None, Idempotency | None]:
        return once, once


class WithoutKey(AskedTwice):
    """Bug: it is sent again without the key."""

    def keys(self, once: Idempotency) -> tuple[Idempotency | None, Idempotency | None]:
        return once, None


class WithAnotherKey(AskedTwice):
    """Bug: it is sent again with a key of its own."""

    def keys(self, once: Idempotency) -> tuple[Idempotency | None, Idempotency | None]:
        return once, dataclasses.replace(once, key=bytes(reversed(once.key)))


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[LogStore]]:
    settings = StoreSettings(sync="never", files=UnsyncedFiles(), segment_records_max=50)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(open_log_store(tmp_path / "data", settings)))
            for _ in range(2)
        ]


def wrong_keys(stores: list[LogStore], kind: type[AskedTwice], seed: int) -> list[str]:
    chance = random.Random(seed)

    def make() -> StoreTarget:
        twice = kind(*stores, random.Random(chance.random()))
        return StoreTarget(twice)  # type: ignore[arg-type] # all of a store that it uses

    return run_clients(make, seed=seed, operations=60, keys=3).wrong_keys()


def test_what_is_sent_again_is_done_once(stores: list[LogStore]):
    assert wrong_keys(stores, AskedTwice, seed=1) == []


@pytest.mark.parametrize("bug", [WithoutKey, WithAnotherKey])
def test_a_careless_retry_is_found(stores: list[LogStore], bug: type[AskedTwice]):
    assert wrong_keys(stores, bug, seed=1) != []
