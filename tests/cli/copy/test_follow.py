"""Test the cut-over: a store is written to all the time while it is copied and followed."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rundlet
from rundlet import Client
from rundlet_server.storage.interface import Put, Txn
from tests.cli.copy.conftest import held, opened
from tests.support import PATIENCE_S
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer, free_port, wait_for

WRITERS = 3
FIRST = 3_000


class Writers:
    """Threads that put, delete and change keys in transactions until they are stopped.

    Attributes:
        acknowledged: the last value of each key, ``None`` if it was deleted.
    """

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[str, bytes | None] = {}
        self._url = url
        self._is_stopped = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=[n]) for n in range(WRITERS)]
        self.failures: list[Exception] = []

    def _write(self, number: int) -> None:
        chosen = random.Random(number)
        count = 0
        try:
            with Client(self._url) as client:
                took_s = 0.0
                while not self._is_stopped.is_set():
                    # Leave the processors to what is tested, also those of a busy machine.
                    self._is_stopped.wait(max(0.005, 2 * took_s))
                    began_s = time.monotonic()
                    count += 1
                    keys = [f"w{number}/{chosen.randrange(200)}" for _ in range(3)]
                    first, *others = dict.fromkeys(keys)
                    value = b"%d" % count
                    client.txn(
                        [rundlet.Delete(first), *(rundlet.Put(key, value) for key in others)]
                    )
                    self.acknowledged |= {first: None, **dict.fromkeys(others, value)}
                    client.set(f"count/{number}", value, content_type="text/plain")
                    self.acknowledged[f"count/{number}"] = value
                    if count % 10 == 0:
                        client.set(f"short/{number}/{count}", value, ttl=0.5)
                    took_s = time.monotonic() - began_s
        except Exception as ex:
            self.failures.append(ex)

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._is_stopped.set()
        for thread in self._threads:
            thread.join()
        assert self.failures == []


class Following:
    """``rundlet copy --follow`` as a process."""

    def __init__(self, *arguments: str, out: Path) -> None:
        self._out = out
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rundlet_server", "copy", *arguments, "--follow"],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )

    @property
    def shown(self) -> str:
        return self._out.read_text()

    def reached(self, revision: int) -> bool:
        """Return whether it has shown that it is at a revision, or beyond."""
        assert self.process.poll() is None, self.shown
        return any(
            int(at) >= revision for at in re.findall(r"following: at revision (\d+)", self.shown)
        )


@contextlib.contextmanager
def following(*arguments: str, out: Path) -> Iterator[Following]:
    started = Following(*arguments, out=out)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RundletServer]:
    place = ("--data", tmp_path / "from", "--port", str(free_port()))
    with RundletServer(*place, stderr_path=tmp_path / "stderr") as served:
        with Client(served.url) as client:
            client.import_(
                rundlet.Put(f"first/{number:05d}", b"x" * 100) for number in range(FIRST)
            )
        yield served


@pytest.mark.parametrize(
    ("kind", "by"), [("etcd", "folder"), ("postgresql", "url"), ("folder", "url")]
)
def test_nothing_is_lost_in_a_cut_over_under_load(server, make_place, tmp_path, kind, by):
    source = str(tmp_path / "from") if by == "folder" else server.url
    to = make_place(kind, "to")
    with Writers(server.url) as writers, Client(server.url) as client:
        with following(source, to, out=tmp_path / "killed") as killed:
            wait_for(lambda: killed.reached(1))
        begun = client.info()["revision"]
        with following(source, to, out=tmp_path / "out") as follow:
            wait_for(lambda: follow.reached(begun + 50))
            assert follow.shown.startswith("going on from revision")
            writers.stop()
            head = client.info()["revision"]
            wait_for(lambda: follow.reached(head))
            follow.process.send_signal(signal.SIGINT)
            assert follow.process.wait(PATIENCE_S) == 130
        assert "stopped following at revision" in follow.shown

    last = run("copy", source, to)

    assert last.code == 0, last.err
    assert "the same in both stores" in last.text
    wait_for(lambda: not any(key.startswith("short/") for key in held(to)))
    found = held(to)
    assert found == held(server.url)
    present = {key: value.decode() for key, value in writers.acknowledged.items() if value}
    mine = {key: row for key, row in found.items() if key.startswith(("w", "count/"))}
    assert mine.keys() == present.keys()
    assert sum(key.startswith("first/") for key in found) == FIRST
    for number in range(WRITERS):
        count = {"content_type": "text/plain", "text": present[f"count/{number}"]}
        assert found[f"count/{number}"] == count


@pytest.mark.parametrize("kind", ["etcd", "postgresql", "folder"])
def test_every_store_with_a_feed_can_be_followed(make_place, tmp_path, kind):
    source, to = make_place(kind, "from"), make_place("folder", "to")
    run("set", "a", "1", "--store", source)
    with following(source, to, out=tmp_path / "out") as follow:
        wait_for(lambda: follow.reached(1))
        for key in ("a", "b"):
            run("set", key, "2", "--store", source)
        run("del", "b", "--store", source)
        with opened(source) as store:
            store.commit(Txn([Put("large", bytes(1_000_000)), Put("c", b"", "text/css")]))
            head = store.get_many(()).revision
        wait_for(lambda: follow.reached(head))
        follow.process.send_signal(signal.SIGINT)
        assert follow.process.wait(PATIENCE_S) == 130

    assert held(to) == held(source)
    assert set(held(to)) == {"a", "c", "large"}
    assert run("copy", source, to).code == 0


def test_following_goes_on_through_a_restart_of_the_server(server, make_place, tmp_path):
    to = make_place("folder", "to")
    port = server.url.rpartition(":")[2]
    with following(server.url, to, out=tmp_path / "out") as follow:
        wait_for(lambda: follow.reached(1))
        server.stop()
        wait_for(lambda: "trying again" in follow.shown)
        with RundletServer(
            *("--data", tmp_path / "from", "--port", port), stderr_path=tmp_path / "again"
        ) as again:
            again.client.put("/v1/kv/after", content=b"1")
            head = again.client.get("/v1").json()["revision"]
            wait_for(lambda: follow.reached(head))

    assert run("get", "after", "--data", to).out == b"1"
