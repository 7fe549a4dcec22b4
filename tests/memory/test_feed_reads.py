"""How the feed reads the store: beside an event loop, and within a bound on memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.feeds.events import NDJSON_TYPE, SSE_TYPE
from rundlet_server.functions.feeds.reading import EVENT_BYTES, reach
from rundlet_server.functions.waits import IN_THREAD
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.timeline import Changes
from tests.support.models.model import ModelStore

Result = TypeVar("Result")


class _InOtherThread:
    """Does long work in another thread, as a server with an event loop does."""

    commit = IN_THREAD.commit
    next_changes = IN_THREAD.next_changes
    sleep = IN_THREAD.sleep
    record = IN_THREAD.record

    def work(self, do: Callable[[], Result]) -> Result:
        with ThreadPoolExecutor(1, "work") as pool:
            return pool.submit(do).result()

    def work_once(self, _name: Hashable, do: Callable[[], Result], /) -> Result:
        return self.work(do)


@pytest.mark.parametrize("media_type", [NDJSON_TYPE, SSE_TYPE, "application/json"])
def test_feed_reads_the_store_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, media_type: str
):
    store, threads = ModelStore(), []
    read = store.changes

    def changes(*args: object, **options: object) -> Changes:
        threads.append(threading.current_thread().name)
        return read(*args, **options)

    monkeypatch.setattr(store, "changes", changes)
    api = falcon.testing.TestClient(create_app(store, waits=_InOtherThread()))

    answer = api.simulate_get("/v1/changes?since=99", headers={"Accept": media_type})

    assert answer.status_code >= 400
    assert [name.startswith("work") for name in threads] == [True]


def test_size_of_an_event_counts_the_bytes_of_its_key():
    store, key = ModelStore(), "\N{SNOWMAN}" * 100
    store.commit(Txn([Put(key, b"value")]))

    _, size = reach(store.changes(0), 1_000_000)

    assert size == EVENT_BYTES + len(key.encode()) + len(b"value")
