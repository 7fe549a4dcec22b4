"""The backends that the contract of ``Store`` is tried on: a new one enters here.

``BACKENDS`` take writes, ``FILLED`` show values that they were given. With them are the words in
which the tests speak to a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.interface import (
    TEXT_CONTENT_TYPE,
    Feature,
    Limits,
    Op,
    Page,
    Put,
    Store,
    Txn,
)
from rundlet_server.storage.metadata import Metadata
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.postgres.store import PostgresStore
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.textfile.store import open_text_file
from rundlet_server.storage.timeline import At, Retention
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock, ModelStore
from tests.support.postgres import postgres_server
from tests.support.processes.etcd import shared_etcd, store_name

LIMITS: Final = Limits(
    key_bytes_max=32,
    value_bytes_max=100,
    txn_ops_max=8,
    txn_bytes_max=150,
    list_keys_max=100,
    answer_bytes_max=1_000,
)

OpenStore = Callable[..., Store]


class Backend(NamedTuple):
    """A kind of store that takes writes.

    Attributes:
        name: in the names of tests.
        open: opens the store at a place, by a clock, read-only or not; opened again after it was
            closed it is the same store if ``is_kept``.
        is_kept: the store outlives its closing.
        erases_with_history: the bytes of what is erased go when its history does.
        lacks: features without which the tests that need them are not collected.
        retention: of a new store.
        retains: another one that it can have.
    """

    name: str
    open: Callable[[Path, Clock, bool], Store]
    is_kept: bool = True
    lacks: frozenset[Feature] = frozenset()
    erases_with_history: bool = False
    retention: Retention = Retention()
    retains: Retention = Retention(3, 0.5)


class Filled(NamedTuple):
    """A kind of store that has values: ``open`` gives one with text values at a place."""

    name: str
    open: Callable[[Path, Mapping[str, bytes]], Store]


def _open_model(_place: Path, clock: Clock, read_only: bool) -> Store:
    return ModelStore(clock, LIMITS, read_only=read_only)


def _open_counted(place: Path, clock: Clock, read_only: bool) -> Store:
    return CountedStore(_open_model(place, clock, False), OperationCounters(), read_only=read_only)


def _open_log(place: Path, clock: Clock, read_only: bool) -> Store:
    return open_log_store(place / "data", _log_settings(clock, read_only))


def _open_tiny_log(place: Path, clock: Clock, read_only: bool) -> Store:
    settings = _log_settings(clock, read_only, segment_records_max=2)
    return open_log_store(place / "data", settings)


def _log_settings(clock: Clock, read_only: bool, **sizes: int) -> StoreSettings:
    return StoreSettings(
        files=UnsyncedFiles(), limits=LIMITS, clock=clock, is_read_only=read_only, **sizes
    )


def _open_etcd(place: Path, clock: Clock, read_only: bool) -> Store:
    settings = StoreSettings(limits=LIMITS, clock=clock, is_read_only=read_only)
    return open_test_etcd(place, settings)


def open_test_etcd(place: Path, settings: StoreSettings) -> EtcdStore:
    """Open a store of this test's own in the etcd of all tests.

    Nothing is done in the background, where the clock of a test does not reach.
    """
    address = StoreAddress.parse(f"etcd://{shared_etcd()}/{store_name(place)}")
    return EtcdStore(EtcdPlace.of(address), settings, tidy_s=None)


def _open_postgres(place: Path, clock: Clock, read_only: bool) -> Store:
    """Open the store of a place: the name of its schema is kept there."""
    address = place / "address"
    if not address.exists():
        address.write_text(postgres_server().url())
    settings = StoreSettings(limits=LIMITS, clock=clock, is_read_only=read_only)
    return PostgresStore(StoreAddress.parse(address.read_text()), settings, is_tended=False)


BACKENDS: Final = (
    Backend("model", _open_model, is_kept=False),
    Backend("model counted", _open_counted, is_kept=False),
    Backend("log", _open_log),
    Backend("log of tiny segments", _open_tiny_log),
    Backend(
        "etcd",
        _open_etcd,
        erases_with_history=True,
        retention=Retention(1),  # it keeps history by time only
        retains=Retention(1, 0.5),
    ),
    Backend("postgresql", _open_postgres),
)


def needs(feature: Feature) -> pytest.MarkDecorator:
    """Run a test of a store on the backends that have a feature."""
    found = [pytest.param(one, id=one.name) for one in BACKENDS if feature not in one.lacks]
    return pytest.mark.parametrize("backend", found, indirect=True)


def _filled(backend: Backend) -> Filled:
    def open_filled(place: Path, values: Mapping[str, bytes]) -> Store:
        store = backend.open(place, Clock(), False)
        for key, content in values.items():
            put(store, key, content, content_type=TEXT_CONTENT_TYPE)
        return store

    return Filled(backend.name, open_filled)


def _open_text_file(place: Path, values: Mapping[str, bytes]) -> Store:
    path = place / "values.txt"
    path.write_bytes(b"".join(b"%s %s\n" % (key.encode(), values[key]) for key in values))
    return open_text_file(path, any_key=True, limits=LIMITS, cache_folder=place)


def only_on(*names: str) -> pytest.MarkDecorator:
    """Run a test of the functions (fixture ``api``) on stores that can do what it is about."""
    return pytest.mark.parametrize("api_store", names, indirect=True)


FILLED: Final = (*map(_filled, BACKENDS), Filled("text file", _open_text_file))


def put(store: Store, key: str, value: bytes = b"v", **options: float | str | Metadata) -> Commit:
    return store.commit(Txn([Put(key, value, **options)]))


def do(store: Store, *ops: Op) -> Commit:
    return store.commit(Txn(ops))


def value(store: Store, key: str, at: At | None = None) -> bytes | None:
    entry = store.get(key, at=at)
    return None if entry is None else entry.value


def names(page: Page) -> list[str]:
    return [info.key for info in page.keys]


def kinds(store: Store, key: str) -> list[str]:
    return [version.kind for version in store.history(key).versions]
