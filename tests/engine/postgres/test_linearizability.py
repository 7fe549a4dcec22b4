"""What many clients see of each key is linearizable, also while connections break."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from typing import TypeVar

from rundlet_server.storage.errors import OutcomeUnknown, Unavailable
from tests.faults.test_linearizability import CLIENTS, StoreTarget, run_clients
from tests.support.cutting_proxy import CuttingProxy
from tests.support.models.linearizability import NotDone, Unknown

_Answer = TypeVar("_Answer")


class DatabaseTarget(StoreTarget):
    """A store whose failures say what became of an operation."""

    def get(self, key: str) -> str | None:
        return _told(lambda: super(DatabaseTarget, self).get(key))

    def put(self, key: str, value: str) -> None:
        _told(lambda: super(DatabaseTarget, self).put(key, value))

    def swap(self, key: str, expected: str | None, value: str) -> bool:
        return _told(lambda: super(DatabaseTarget, self).swap(key, expected, value))

    def delete(self, key: str) -> bool:
        return _told(lambda: super(DatabaseTarget, self).delete(key))

    def add(self, key: str, by: str) -> int:
        return _told(lambda: super(DatabaseTarget, self).add(key, by))


def _told(do: Callable[[], _Answer]) -> _Answer:
    try:
        return do()
    except OutcomeUnknown as ex:
        raise Unknown from ex
    except Unavailable as ex:
        raise NotDone from ex


def test_stores_are_linearizable_together(open_store):
    stores = itertools.cycle([open_store() for _ in range(3)])

    recorder = run_clients(lambda: DatabaseTarget(next(stores)), seed=1, operations=60)

    assert recorder.wrong_keys() == []
    assert recorder.operation_count > CLIENTS * 40


def test_stores_are_linearizable_while_connections_break(open_store, server, url):
    with CuttingProxy(server.port) as proxy:
        through = url.replace(f":{server.port}", f":{proxy.port}")
        stores = itertools.cycle([open_store(), open_store(through), open_store(through)])
        over = threading.Event()
        choice = random.Random(1)

        def cut() -> None:
            while not over.wait(choice.uniform(0.02, 0.1)):
                proxy.cut_all()

        cutter = threading.Thread(target=cut)
        cutter.start()
        try:
            recorder = run_clients(lambda: DatabaseTarget(next(stores)), seed=2, operations=60)
        finally:
            over.set()
            cutter.join()

    assert recorder.wrong_keys() == []
    assert recorder.operation_count > CLIENTS * 40
