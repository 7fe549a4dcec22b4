"""Test that keys written under a higher limit can still be read and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.errors import LimitExceeded
from rundlet_server.storage.interface import Condition, Delete, Limits, Put, Touch, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

OLD = "o" * 50 + "é"
OTHER = "p" * 50


@pytest.fixture
def store(tmp_path) -> Iterator[LogStore]:
    """A store that holds ``OLD`` and takes keys of 20 bytes now."""
    store = open_log_store(tmp_path / "data")
    store.commit(Txn([Put(OLD, b"value")]))
    store.close()
    store = open_log_store(tmp_path / "data", StoreSettings(limits=Limits(key_bytes_max=20)))
    yield store
    store.close()


def test_old_key_is_read(store):
    entry = store.get(OLD)

    assert entry is not None
    assert entry.value == b"value"
    assert store.get(OLD, at=1) == entry
    assert store.get_many([OLD, "a"]).entries == [entry, None]
    assert [version.kind for version in store.history(OLD).versions] == ["put"]


def test_old_key_is_deleted_and_does_not_come_back(store):
    commit = store.commit(Txn([Delete(OLD)], [Condition(OLD, exists=True)]))

    assert commit.results[0].found
    assert store.get(OLD) is None
    assert store.scan().keys == []


@pytest.mark.parametrize("op", [Put(OLD, b"new"), Touch(OLD), Delete(OTHER), Put(OTHER, b"new")])
def test_longer_key_is_neither_written_nor_made(store, op):
    with pytest.raises(LimitExceeded):
        store.commit(Txn([op]))


@pytest.mark.parametrize("key", [OTHER, "x" * 70_000])
def test_longer_key_that_the_store_does_not_have_is_refused(store, key):
    with pytest.raises(LimitExceeded):
        store.get(key)


def test_old_key_is_read_and_deleted_over_http(store):
    api = falcon.testing.TestClient(create_app(store))
    old, other = f"/v1/kv/{quote(OLD)}", f"/v1/kv/{OTHER}"

    listed = [info["key"] for info in api.simulate_get("/v1/keys").json["keys"]]
    got = api.simulate_get(old)
    written = api.simulate_put(old, body=b"new")
    missing = [api.simulate_request(method, other).status_code for method in ("GET", "DELETE")]
    deleted = api.simulate_delete(old)
    again = api.simulate_get(old)

    assert listed == [OLD]
    assert (got.status_code, got.content) == (200, b"value")
    assert written.status_code == 414
    assert missing == [414, 414]
    assert deleted.status_code == 204
    assert again.status_code == 404
