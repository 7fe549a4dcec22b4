"""Test that feeds lose, repeat and tear nothing while servers are killed and restarted."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rundlet import Client, Delete, Event, Put, RundletError
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.processes.killed_servers import GRANIAN, WAITRESS, kill_whole, start
from tests.support.processes.servers import RundletServer, free_port, wait_for, worker_pids

WRITERS = 3
KEYS = 12
LIFE_S = (0.5, 1.5)
END = "end"


@dataclass
class Writer:
    """Commits transactions whose values say where they belong; remembers what was acknowledged.

    Attributes:
        acknowledged: the names of transactions by revision.
    """

    name: str
    dice: random.Random
    acknowledged: dict[int, str] = field(default_factory=dict)

    def run(self, url: str, over: threading.Event) -> None:
        count = 0
        with Client(url, retries=0) as client:
            while not over.is_set():
                count += 1
                with contextlib.suppress(RundletError):
                    self._commit(client, f"{self.name}-{count}")

    def _commit(self, client: Client, txn: str) -> None:
        keys = self.dice.sample(range(KEYS), self.dice.randrange(1, 6))
        puts = [
            Put(f"k{key}", json.dumps([txn, index, len(keys)]).encode(), "application/json")
            for index, key in enumerate(keys)
        ]
        commit = client.txn([*puts, Delete(f"{txn}-never-there")])
        self.acknowledged[commit.revision] = txn
        if self.dice.random() < 0.2:
            client.delete(f"k{keys[0]}")


class Watcher:
    """Follows everything into a list until the last commit comes."""

    def __init__(self, client: Client, prefix: str) -> None:
        self.events: list[Event] = []
        self._watch = client.watch(prefix, since=0, values=True)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with self._watch as events:
            for event in events:
                self.events.append(event)
                if event.is_last and event.key.endswith(END):
                    return


def follow_killed_servers(
    campaign: Campaign, dice: random.Random, folder: Path, *, lives: int
) -> None:
    """Write and watch through several lives of a server, then compare."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    over = threading.Event()
    writers = [Writer(f"w{n}", random.Random(dice.random())) for n in range(WRITERS)]
    threads = [threading.Thread(target=w.run, args=(url, over)) for w in writers]
    watchers: list[Watcher] = []
    with Client(url) as client:
        for life in range(lives):
            with serve(folder, port, dice) as server:
                if life == 0:
                    watchers += [Watcher(client, ""), Watcher(client, ""), Watcher(client, "k1")]
                    for thread in threads:
                        thread.start()
                time.sleep(dice.uniform(*LIFE_S))
                campaign.count(hurt(server, dice))
        with serve(folder, port, dice):
            time.sleep(dice.uniform(*LIFE_S))
            wait_for(lambda: all(writer.acknowledged for writer in writers))
            over.set()
            for thread in threads:
                thread.join()
            client.txn([Put(END, b""), Put(f"k1{END}", b"")])
            state = {i.key: i.value.data for i in client.scan(values=True) if i.value is not None}
            for watcher in watchers:
                watcher.thread.join(PATIENCE_S)
                assert not watcher.thread.is_alive(), "the watch did not reach the end"
    everything, again, narrow = (watcher.events for watcher in watchers)
    check_feed(everything, writers, state)
    assert again == everything
    assert [(e.revision, e.key) for e in narrow] == [
        (e.revision, e.key) for e in everything if e.key.startswith("k1")
    ]


def serve(folder: Path, port: int, dice: random.Random) -> RundletServer:
    return start(folder, *dice.choice([WAITRESS, GRANIAN]), "--port", str(port))


def hurt(server: RundletServer, dice: random.Random) -> str:
    """Kill a worker now and then; then kill the server, or ask it to stop."""
    pids = worker_pids(server.process.pid)
    if pids and dice.random() < 0.5:
        os.kill(dice.choice(pids), signal.SIGKILL)
        time.sleep(dice.uniform(*LIFE_S))
    if dice.random() < 0.3:
        server.stop()
        return "stops"
    kill_whole(server)
    return "kills"


def check_feed(events: list[Event], writers: list[Writer], state: dict[str, bytes]) -> None:
    """Complete, in order, transactions whole, and the same as the store in the end."""
    revisions = [event.revision for event in events]
    assert revisions == sorted(revisions)
    assert len({(event.revision, event.key) for event in events}) == len(events)

    found: dict[str, bytes] = {}
    commits: dict[int, list[Event]] = {}
    for event in events:
        commits.setdefault(event.revision, []).append(event)
        if event.op == "put":
            assert event.data is not None
            found[event.key] = event.data
        else:
            found.pop(event.key, None)
    assert found == state

    names = {}
    for revision, commit in commits.items():
        assert [event.is_last for event in commit] == [False] * (len(commit) - 1) + [True]
        if commit[0].op != "put":
            assert len(commit) == 1
            continue
        if commit[0].key == END:
            assert len(commit) == 2
            continue
        parts = [json.loads(event.data or b"") for event in commit]
        txn, _, count = parts[0]
        assert parts == [[txn, index, count] for index in range(count)]
        names[revision] = txn
    assert len(set(names.values())) == len(names)
    for writer in writers:
        assert writer.acknowledged.items() <= names.items()
        assert writer.acknowledged, "the writer never got through"


def test_feed_is_complete_while_servers_are_killed(campaign: Campaign, tmp_path: Path):
    for dice in campaign.rounds(1):
        follow_killed_servers(campaign, dice, tmp_path, lives=3)


@pytest.mark.soak
def test_feed_is_complete_while_servers_are_killed_for_long(campaign: Campaign, tmp_path: Path):
    for dice in campaign.rounds():
        folder = tmp_path / str(campaign.seed)
        folder.mkdir()
        follow_killed_servers(campaign, dice, folder, lives=6)
