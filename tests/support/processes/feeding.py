"""Processes that write transactions, and others that follow them, until they are killed."""

from __future__ import annotations

import random
import struct
from multiprocessing.connection import Connection
from pathlib import Path

from rundlet_server.storage.interface import Add, Op, Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.timeline import Event
from tests.support.processes.stores import open_tiny

PARTS_MAX = 5
ACKNOWLEDGED = struct.Struct("<QQ")
SEEN = struct.Struct("<QQQQQ")


def opened(folder: Path) -> LogStore:
    """Open a store of tiny segments that keeps all history, so that compaction only moves it."""
    return open_tiny(folder, keep_for_s=3_600)


def write(folder: Path, number: int, seed: int, acknowledged: Connection) -> None:
    """Commit transactions of numbered parts; report the count and the revision of each."""
    chosen = random.Random(seed)
    store = opened(folder)
    entry = store.get(f"count/{number}")
    count = int(entry.value) if entry else 0
    while True:
        count += 1
        total = chosen.randint(1, PARTS_MAX)
        parts: list[Op] = [
            Put(f"part/{number}/{part}", SEEN.pack(0, number, count, part, total))
            for part in range(total)
        ]
        commit = store.commit(Txn([*parts, Add(f"count/{number}", 1)]))
        acknowledged.send_bytes(ACKNOWLEDGED.pack(count, commit.revision))
        if chosen.random() < 0.03:
            store.maintainer.compact(thorough=chosen.random() < 0.5)


def follow(folder: Path, since: int, seed: int, seen: Connection) -> None:
    """Report every part that the feed shows after a revision, in pages of all sizes."""
    chosen = random.Random(seed)
    store = opened(folder)
    while True:
        store.wait(since, 1)
        page = store.changes(
            since, prefix="part/", limit=chosen.choice([1, 2, 3, 10, 1_000]), include_values=True
        )
        for event in page.events:
            seen.send_bytes(line_of(event))
        since = page.next_since


def line_of(event: Event) -> bytes:
    """Return revision, writer, count, part and number of parts."""
    assert event.value is not None
    _, *part = SEEN.unpack(event.value)
    assert event.is_last == (part[2] == part[3] - 1), event
    return SEEN.pack(event.revision, *part)
