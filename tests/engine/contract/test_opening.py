"""Opening a store by its address: what each kind gives, and what this release cannot open."""

from __future__ import annotations

import contextlib
import sys
from typing import get_args

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.counting.measures import GROUP_COMMITS, Measures
from rundlet_server.storage.errors import InvalidAddress, MissingBackend, ReadOnly, Unavailable
from rundlet_server.storage.interface import Feature, Limits, Put, Txn
from rundlet_server.storage.opening import StoreOptions, open_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.servers import free_port

STORAGE = "rundlet_server.storage"


def test_folder_is_opened_with_its_options_and_measured(tmp_path):
    address = StoreAddress.of_folder(tmp_path / "data")
    options = StoreOptions(StoreSettings(sync="never", limits=Limits(value_bytes_max=10)))
    shared = SharedCounters()

    with contextlib.closing(open_store(address, options, Measures(shared))) as store:
        store.commit(Txn([Put("a", b"1")]))

        assert (store.info.backend, store.info.settings["sync"]) == ("log", "never")
        assert store.info.limits.value_bytes_max == 10
        assert store.info.features == set(get_args(Feature))
    assert GROUP_COMMITS in shared.rows()


def test_text_file_is_opened_by_its_rules(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a 1\nbad\n")

    options = StoreOptions(any_key=True, skip_bad=True)
    with contextlib.closing(open_store(StoreAddress.parse(f"file:{path}"), options)) as store:
        assert store.info.backend == "file"
        assert store.info.features == {"history"}
        assert [info.key for info in store.scan().keys] == ["a"]
        with pytest.raises(ReadOnly):
            store.commit(Txn([Put("a", b"1")]))


def test_store_in_memory_is_for_servers():
    with pytest.raises(InvalidAddress, match="--in-memory"):
        open_store(StoreAddress.parse("memory"))


@pytest.mark.parametrize(
    ("text", "module", "extra"),
    [
        ("postgresql://me:s3cret@db/kv", "psycopg", "postgres"),
        ("etcd://me:s3cret@h1/NAME", "grpc", "etcd"),
    ],
)
def test_missing_extra_is_told_by_name_without_the_password(text, module, extra, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(f"{STORAGE}.{extra}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingBackend, match=rf"pip install 'rundlet\[{extra}\]'") as caught:
        open_store(StoreAddress.parse(text))
    assert "s3cret" not in str(caught.value)


def test_database_that_does_not_answer_is_unavailable_without_the_password():
    text = f"postgresql://me:s3cret@127.0.0.1:{free_port()}/kv"

    with pytest.raises(Unavailable) as caught:
        open_store(StoreAddress.parse(text))
    assert "refused" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "query", ["schema=", "schema=A", "schema=a-b", "schema=%22", "sslmode=maybe&nonsense=1"]
)
def test_url_that_no_database_understands_is_refused_without_the_password(query):
    with pytest.raises(InvalidAddress) as caught:
        open_store(StoreAddress.parse(f"postgresql://me:s3cret@h/kv?{query}"))
    assert "s3cret" not in str(caught.value)
