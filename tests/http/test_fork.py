"""Test that an application works in a child that was forked after it was made."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, ModuleType

import falcon
import falcon.testing
import httpx
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.wsgi import ProcessApp
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.postgres import postgres_server
from tests.support.processes.etcd import shared_etcd, store_name
from tests.support.processes.forks import ForkedChild, in_child

# From Python 3.12 on; it is what these tests are about.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)

MIB = 1024 * 1024
LOCKS = (type(threading.Lock()), type(threading.RLock()))
NOT_FOLLOWED = (ModuleType, type, FunctionType, BuiltinFunctionType, ModelStore)


def locks_of(app: object) -> list[threading.Lock]:
    """Return all locks that an application leads to, by whatever path, without its store's."""
    found: dict[int, threading.Lock] = {}
    seen: dict[int, object] = {}
    waiting = [app]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, NOT_FOLLOWED):
            continue
        seen[id(item)] = item
        if isinstance(item, LOCKS):
            found[id(item)] = item
        waiting += gc.get_referents(item)
    return list(found.values())


@contextmanager
def held_elsewhere(locks: list[threading.Lock]) -> Iterator[None]:
    """Let another thread hold locks within the block."""
    held, stopping = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        stopping.wait(PATIENCE_S)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(PATIENCE_S)
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def use_all(app: falcon.App) -> None:
    """Ask for everything that takes a lock in some way."""
    api = falcon.testing.TestClient(app)
    put = {"op": "put", "key": "a", "text": "x" * 2 * MIB, "content_type": "text/plain"}
    headers = {"Content-Type": "application/json"}
    txn = api.simulate_post("/v1/txn", body=json.dumps({"then": [put]}), headers=headers)
    mget = api.simulate_post("/v1/mget", body=json.dumps({"keys": ["a"]}), headers=headers)
    answers = [api.simulate_get(path) for path in ("/readyz", "/metrics", "/v1/keys", "/v1/kv/a")]
    assert [answer.status_code for answer in (txn, mget, *answers)] == [200] * 6
    assert len(answers[-1].content) == 2 * MIB


def test_no_lock_of_the_parent_stays_locked_in_a_child():
    app = create_app(ModelStore(), ServerSettings())
    locks = locks_of(app)
    assert len(locks) >= 3

    with held_elsewhere(locks):
        in_child(lambda: use_all(app))
    use_all(app)


def test_what_the_parent_sends_takes_no_place_in_a_child():
    sending = SendingGate(8 * MIB)

    def use() -> None:
        assert sending.held_bytes == 0
        with sending.hold() as hold:
            hold.admit(3 * MIB)

    with sending.hold() as hold:
        hold.admit(4 * MIB)
        in_child(use)


def test_parent_and_child_give_requests_different_ids():
    ids = RequestIds()
    theirs = ids.of({}).partition("-")[0]

    def use() -> None:
        assert ids.of({}).partition("-")[0] != theirs

    in_child(use)
    assert ids.of({}).partition("-")[0] == theirs


@pytest.mark.parametrize("kind", ["etcd", "postgresql"])
def test_an_application_on_a_database_serves_in_children_of_a_server_that_forks(
    kind, tmp_path, monkeypatch
):
    address = (
        f"etcd://{shared_etcd()}/{store_name(tmp_path)}"
        if kind == "etcd"
        else postgres_server().url()
    )
    monkeypatch.setenv("RUNDLET_STORE", address)
    app = ProcessApp()
    parent = httpx.Client(transport=httpx.WSGITransport(app), base_url="http://localhost")
    assert parent.put("/v1/kv/a", content=b"parent").status_code == 201
    threading.Thread(target=lambda: parent.get("/v1/changes?since=1&wait=1"), daemon=True).start()

    def serve() -> None:
        child = httpx.Client(transport=httpx.WSGITransport(app), base_url="http://localhost")
        assert child.get("/v1/kv/a").status_code == 200
        assert child.put("/v1/kv/a", content=b"child").status_code == 204
        assert child.get("/readyz").status_code == 200

    children = [ForkedChild(serve) for _ in range(3)]
    assert parent.get("/v1/kv/a").status_code == 200
    for child in children:
        child.finish()

    assert parent.get("/v1/kv/a").content == b"child"
    assert parent.get("/v1/history/a").json()["versions"][0]["version"] == 4
