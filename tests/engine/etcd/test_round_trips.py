"""How many calls of etcd's an operation takes."""

from __future__ import annotations

import pytest

from rundlet_server.storage.interface import Put
from tests.support.backends import do, names, put

KEYS = [f"k{number:04}" for number in range(1_002)]


@pytest.fixture
def calls(store, monkeypatch) -> list[str]:
    """The paths of the calls from now on; the store has some keys, each with a value of 100 B."""
    for first in range(0, len(KEYS), 50):
        do(store, *(Put(key, bytes(100)) for key in KEYS[first : first + 50]))
    made: list[str] = []
    repeat = store._client._repeat

    def counted(call, *arguments, **options):
        made.append(call.path.rpartition("/")[2])
        return repeat(call, *arguments, **options)

    monkeypatch.setattr(store._client, "_repeat", counted)
    return made


def test_a_value_is_one_call(store, calls):
    assert store.get(KEYS[0]).value == bytes(100)
    assert calls == ["Range"]


def test_a_hundred_values_are_one_call(store, calls):
    assert len(store.get_many(KEYS[:100]).entries) == 100
    assert calls == ["Txn"]


@pytest.mark.parametrize("include_values", [False, True])
def test_a_list_of_a_thousand_keys_is_one_call(store, calls, include_values):
    page = store.scan(prefix="k", limit=1_000, include_values=include_values)

    assert (names(page), page.resume) == (KEYS[:1_000], KEYS[999])
    assert calls == ["Txn"]


def test_a_count_is_one_call(store, calls):
    assert store.count(prefix="k") == len(KEYS)
    assert calls == ["Txn"]


def test_a_write_is_two_calls(store, calls):
    put(store, KEYS[0])
    assert calls == ["Txn", "Txn"]
