"""Stores of every kind that ``rundlet copy`` takes, by the address that it takes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rundlet import Client
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Store
from rundlet_server.storage.opening import StoreOptions, open_log_store, open_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.postgres import postgres_server
from tests.support.processes.command_line import keep_state_in, run
from tests.support.processes.etcd import shared_etcd, store_name
from tests.support.wire.served_model import served

KINDS = ("folder", "etcd", "postgresql", "server")

MakePlace = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies note how far they are."""
    keep_state_in(str(tmp_path / "state"), monkeypatch)
    return tmp_path / "state"


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[MakePlace]:
    """Returns the address of an empty store of a kind."""
    with contextlib.ExitStack() as stack:

        def make(kind: str, name: str) -> str:
            if kind == "etcd":
                return f"etcd://{shared_etcd()}/{store_name(tmp_path / name)}"
            if kind == "postgresql":
                return postgres_server().url()
            if kind == "folder":
                return str(tmp_path / name)
            store = open_log_store(tmp_path / name, StoreSettings(files=UnsyncedFiles()))
            stack.enter_context(closing(store))
            return stack.enter_context(served(store))

        yield make


@contextlib.contextmanager
def opened(address: str) -> Iterator[Store]:
    """Open a store that is not a server's."""
    with closing(open_store(StoreAddress.parse(address), StoreOptions())) as store:
        yield store


def option(address: str) -> tuple[str, str]:
    """Return the option that names a store to the other commands."""
    return ("--url" if address.startswith("http") else "--store", address)


def held(address: str) -> dict[str, dict[str, object]]:
    """Return all that a store holds, as its export shows it."""
    exported = run("export", *option(address))
    assert exported.code == 0, exported.err
    rows = map(json.loads, exported.text.splitlines())
    of_each_store = ("key", "revision", "version")
    return {
        row["key"]: {name: row[name] for name in row if name not in of_each_store} for row in rows
    }


def versions(address: str, key: str) -> list[bytes]:
    """Return the values of all versions of a key that are kept, oldest first."""
    if address.startswith("http"):
        with Client(address) as client:
            lines = [each for each in client.history(key) if each.version]
            return [client.get(key, version=each.version).data for each in reversed(lines)]
    with opened(address) as store:
        lines = [each for each in store.history(key).versions if each.version]
        return [store.get_version(key, each.version).value for each in reversed(lines)]
