"""A store behind PgBouncer, which lends few connections to many."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE, Add, Restore
from rundlet_server.storage.postgres.store import PostgresStore
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.postgres import PostgresTokens
from tests.support import PATIENCE_S
from tests.support.backends import do, kinds, names, put, value
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import postgres_server

ROUNDS = 12
"""psycopg prepares a statement when it is done for the sixth time."""
STORES = 3


@pytest.fixture(params=["session", "transaction"])
def address(request) -> Iterator[StoreAddress]:
    """A store of this test's own; by session, each open store has its own connections."""
    size = 2 if request.param == "transaction" else 60
    server = postgres_server()
    with pgbouncer(server, request.param, size) as port:
        url = server.url(pooling=request.param).replace(f":{server.port}/", f":{port}/")
        yield StoreAddress.parse(url)


@contextmanager
def opened(address: StoreAddress, *, is_tended: bool = True) -> Iterator[PostgresStore]:
    with closing(PostgresStore(address, StoreSettings(), is_tended=is_tended)) as store:
        yield store


def use(store: PostgresStore, name: str) -> None:
    for number in range(ROUNDS):
        put(store, f"{name}/a", b"%d" % number)
        do(store, Add("counter"))
        assert value(store, f"{name}/a") == b"%d" % number
        assert store.get_many([f"{name}/a", "none"]).entries[1] is None
        assert f"{name}/a" in names(store.scan(prefix=f"{name}/"))
        assert store.count(prefix=f"{name}/a") == 1
        assert store.history(f"{name}/a").versions[0].version == number + 1
        assert store.changes(0, prefix=name, limit=5).events
        store.load([(f"{name}/b".encode(), b"%d" % number, TEXT_CONTENT_TYPE)])
    do(store, Restore(f"{name}/a", 3))
    assert value(store, f"{name}/a") == b"2"


def test_many_stores_share_few_connections(address):
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            with opened(address) as store:
                use(store, str(number))
                assert store.wait(0, PATIENCE_S) > 0
                store.compact(wait=True)
        except Exception as ex:  # whatever it is, the test fails on it
            failures.append(ex)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(STORES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with opened(address) as store:
        assert value(store, "counter") == b"%d" % (ROUNDS * STORES)
        assert store.erase("0/a").versions == ROUNDS + 1
        assert kinds(store, "0/a") == ["erase"]


def test_tokens_are_kept_behind_it(address):
    tokens = PostgresTokens(address)

    for number in range(ROUNDS):
        tokens.add(f"t{number}", "read")

    assert len(tokens.read()) == ROUNDS


def test_another_way_of_pooling_is_refused():
    with pytest.raises(InvalidAddress, match="write session or transaction"):
        PostgresStore(StoreAddress.parse("postgresql://db/kv?pooling=statement"), StoreSettings())


def test_a_list_of_a_young_table_reads_little_more_than_a_page():
    server = postgres_server()
    address = StoreAddress.parse(server.url())
    rows = [(b"%05d" % number, b"v", TEXT_CONTENT_TYPE) for number in range(5_000)]
    with opened(address, is_tended=False) as store:  # whose plans would be among them
        store.load(rows)
        plans = [plan_of(store, {"limit": 100, "at": at}) for at in (None, store.stats().revision)]

    assert ["Bitmap" in plan for plan in plans] == [False, False]
    assert [plan.count("Sort Key: kv.k") for plan in plans] == [0, 0]


def plan_of(store: PostgresStore, scan: dict[str, object]) -> str:
    """Return how the database reads the page of a list."""
    plans: list[str] = []
    rows = store._connections.rows

    def explained(text: str, arguments: object = ()) -> object:
        plans.extend(str(line) for (line,) in rows(f"EXPLAIN {text}", arguments))
        return rows(text, arguments)

    store._connections.rows = explained  # type: ignore[method-assign] # looks on, changes nothing
    try:
        assert len(store.scan(**scan).keys) == 100
    finally:
        del store._connections.rows
    return "\n".join(plans)
