"""How many statements an operation takes."""

from __future__ import annotations

import psycopg
import pytest

from rundlet_server.storage.interface import Put
from tests.support.backends import do, names

KEYS = [f"k{number:04}" for number in range(1_002)]


@pytest.fixture
def statements(store, monkeypatch) -> list[object]:
    """The statements from now on; the store has some keys, each with a value of 100 B."""
    for first in range(0, len(KEYS), 501):
        do(store, *(Put(key, bytes(100)) for key in KEYS[first : first + 501]))
    done: list[object] = []
    execute = psycopg.Cursor.execute

    def counted(cursor, query, *arguments, **options):
        done.append(query)
        return execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    done.clear()
    return done


def test_a_value_is_one_statement(store, statements):
    assert store.get(KEYS[0]).value == bytes(100)
    assert len(statements) == 1


def test_a_hundred_values_are_one_statement(store, statements):
    assert len(store.get_many(KEYS[:100]).entries) == 100
    assert len(statements) == 1


@pytest.mark.parametrize("include_values", [False, True])
def test_a_list_of_a_thousand_keys_is_one_statement(store, statements, include_values):
    page = store.scan(prefix="k", limit=1_000, include_values=include_values)

    assert (names(page), page.resume) == (KEYS[:1_000], KEYS[999])
    assert len(statements) == 1


def test_counts_are_one_statement(store, statements):
    assert store.count(prefix="k") == store.count() == len(KEYS)
    assert len(statements) == 2
