"""The work of other processes in the concurrency tests; few imports make them start fast."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import struct
import subprocess
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import Compacted, Conflict
from rundlet_server.storage.interface import Add, Condition, Op, Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings, system_boot_id
from tests.support.disks.unsynced_files import UnsyncedFiles

WRITERS = 4
ADDITIONS = 5
ACKNOWLEDGED = struct.Struct("<Q")

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "tests.support.processes.traced_workload"])


def open_tiny(
    folder: Path,
    *,
    is_inline: bool = True,
    keep_for_s: float = 0,
    boot_id: int | None = None,
    clock: Callable[[], int] = system_clock_us,
) -> LogStore:
    """Open a store that seals, indexes and merges segments every few commits."""
    settings = StoreSettings(
        clock=clock,
        keep_for_s=keep_for_s,
        keep_versions=1,
        maintain_inline=is_inline,
        segment_records_max=16,
        segment_bytes_max=8_192,
        files=UnsyncedFiles(),
        boot_id=system_boot_id() if boot_id is None else boot_id,
    )
    return open_log_store(folder, settings)


def count_up(folder: Path, thread_count: int, per_thread: int) -> None:
    """Increase a counter by compare-and-swap, again and again, in each thread."""
    store = open_tiny(folder)
    threads = [
        threading.Thread(target=_count_up_thread, args=(store, per_thread))
        for _ in range(thread_count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()


def _count_up_thread(store: LogStore, count: int) -> None:
    while count:
        entry = store.get("counter")
        revision, number = (entry.revision, int(entry.value)) if entry else (0, 0)
        with contextlib.suppress(Conflict):
            store.commit(
                Txn(
                    [Put("counter", b"%d" % (number + 1)), Add("added", 1)],
                    [Condition("counter", revisions=(revision,))],
                )
            )
            count -= 1


def race(folder: Path, boot_id: int, go: Connection, acknowledged: Connection) -> None:
    """Open the store once the other end of ``go`` is closed; add to a number, report revisions."""
    go.poll(None)
    store = open_tiny(folder, boot_id=boot_id)
    for _ in range(ADDITIONS):
        commit = store.commit(Txn([Add("sum", 1)]))
        acknowledged.send_bytes(ACKNOWLEDGED.pack(commit.revision))
    store.close()


def hold(folder: Path, told: Connection) -> None:
    """Hold the writer's lock, while a child process of another program runs, until killed."""
    store = open_tiny(folder)
    with store._writer.exclusive():
        child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
        told.send(child.pid)
        threading.Event().wait()


def write_until_killed(folder: Path, number: int, seed: int, acknowledged: Connection) -> None:
    """Commit both halves of a pair and the total of all; report each acknowledged commit."""
    chosen = random.Random(seed)
    store = open_tiny(folder, is_inline=chosen.random() < 0.7)
    left, right = pair_keys(number)
    entry = store.get(left)
    count = int(entry.value) if entry else 0
    while True:
        count += 1
        # The value of the pair is its count, in as many bytes as to make segments of all sizes.
        value = b"%d" % count + b" " * chosen.choice([0, 0, 10, 2_000])
        ops: list[Op] = [Put(left, value), Put(right, value), Add("total", 1)]
        store.commit(Txn(ops))
        acknowledged.send_bytes(ACKNOWLEDGED.pack(count))
        if chosen.random() < 0.02:
            store.maintainer.compact(thorough=chosen.random() < 0.5)


def pair_keys(number: int) -> tuple[str, str]:
    """Return the two keys that a writer writes together."""
    return f"pair/{number}/left", f"pair/{number}/right"


def watch(folder: Path, seconds_alive: Connection, problems: Connection) -> None:
    """Look for halves of transactions until the other end of ``seconds_alive`` is closed."""
    store = open_tiny(folder, is_inline=False)
    looks = 0
    while not seconds_alive.poll(0):
        for problem in halves(store):
            problems.send(problem)
        looks += 1
    problems.send(looks)
    store.close()


def halves(store: LogStore) -> list[str]:
    """Return the parts of transactions that a snapshot splits, by ``get_many`` and by a list."""
    keys = [key for number in range(WRITERS) for key in pair_keys(number)]
    snapshot = store.get_many([*keys, "total"])
    values = {entry.key: int(entry.value) for entry in snapshot.entries if entry}
    found = _mismatches(values, f"get_many at {snapshot.revision}")
    with contextlib.suppress(Compacted):
        page = store.scan(include_values=True, limit=3)
        infos = page.keys
        while page.resume is not None:
            page = store.scan(include_values=True, limit=3, after=page.resume, at=page.revision)
            infos += page.keys
        values = {info.key: int(info.entry.value) for info in infos if info.entry}
        found += _mismatches(values, f"scan at {page.revision}")
    return found


def _mismatches(values: dict[str, int], how: str) -> list[str]:
    lefts = [values.get(pair_keys(number)[0], 0) for number in range(WRITERS)]
    rights = [values.get(pair_keys(number)[1], 0) for number in range(WRITERS)]
    if lefts == rights and sum(lefts) == values.get("total", 0):
        return []
    return [f"process {os.getpid()}: {how}: {lefts} {rights} {values.get('total')}"]
