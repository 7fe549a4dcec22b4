"""The background threads go on after an error that is a fault of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rundlet_server.storage.etcd import watching
from rundlet_server.storage.tokens import etcd
from rundlet_server.storage.tokens.etcd import EtcdTokenWatch
from tests.support import PATIENCE_S
from tests.support.backends import kinds, put
from tests.support.processes.servers import wait_for

Answer = TypeVar("Answer")


def failing_once(job: Callable[[], Answer]) -> Callable[[], Answer]:
    faults = [RuntimeError("a fault")]

    def run() -> Answer:
        if faults:
            raise faults.pop()
        return job()

    return run


def test_watch_begins_again_after_a_fault(open_etcd, monkeypatch, caplog):
    monkeypatch.setattr(watching, "_FAULT_PAUSE_S", 0.01)
    waiting, writing = open_etcd(), open_etcd()
    revision = put(writing, "a").revision
    monkeypatch.setattr(waiting._watching, "_follow", failing_once(waiting._watching._follow))

    assert waiting.wait(revision, 0) == revision
    put(writing, "a")
    assert waiting.wait(revision, PATIENCE_S) > revision
    assert "a fault" in caplog.text


def test_tidying_goes_on_after_a_fault(open_etcd, clock, monkeypatch, caplog):
    store = open_etcd(tidy_s=0.01, clock=clock)
    tidying = store._tidier._tidying
    monkeypatch.setattr(tidying, "expire", failing_once(tidying.expire))
    put(store, "a", ttl_s=1)
    clock.advance(1)

    wait_for(lambda: kinds(store, "a") == ["expire", "put"])
    assert "a fault" in caplog.text


def test_tokens_are_read_again_after_a_fault(monkeypatch, caplog):
    monkeypatch.setattr(etcd, "_LOOK_S", 0.01)
    reads = iter([[], RuntimeError("a fault"), []])
    count = 0

    def read() -> list[object]:
        nonlocal count
        count += 1
        found = next(reads, [])
        if isinstance(found, Exception):
            raise found
        return found

    watch = EtcdTokenWatch(read)

    wait_for(lambda: count > 2)
    assert watch.current().tokens == []
    assert "a fault" in caplog.text
