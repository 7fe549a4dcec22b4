"""How much memory does a server use after it has read many keys, by number of keys?

``private`` is the memory that each worker has changed and does not share. ``index files`` are
mapped: all workers share one copy with the page cache.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from bench.engine.killed import GrownStores
from bench.errors import NotMeasurable
from bench.load import generator
from bench.load.dialects import PathDialect
from bench.load.generator import Plan
from bench.load.script import MixScript
from bench.recorder import Recorder
from bench.scale import Scale, chosen_scale
from bench.systems.catalogue import GRANIAN, GRANIAN_OPTIONS, serve_rundlet
from bench.systems.memory import kilobytes
from bench.systems.processes import Processes, descendants_of
from bench.workload import READS

_CLIENTS = 16
_WORKER_MARK = b"multiprocessing.spawn"


@pytest.mark.parametrize("key_count", chosen_scale().key_counts)
def test_memory(
    record: Recorder, grown: GrownStores, folder: Path, scale: Scale, key_count: int
) -> None:
    store = grown.folder(key_count)

    def measure() -> dict[str, float]:
        with Processes(folder) as processes:
            port = serve_rundlet(GRANIAN_OPTIONS, processes, store)
            script = MixScript(PathDialect(), READS, key_count, insert_from=0)
            generator.run(Plan(port, script, _CLIENTS, scale.load_s))
            workers = _workers_of(processes.pids[0])
            private = mean(kilobytes(pid, "Private_Dirty") for pid in workers)
            resident = mean(kilobytes(pid, "Rss") for pid in workers)
            shared = mean(kilobytes(pid, "Shared_Clean") for pid in workers)
        index_bytes = sum(path.stat().st_size for path in store.glob("*.idx"))
        figures = {
            "private MB/worker": private / 1_000,
            "shared MB/worker": shared / 1_000,
            "resident MB/worker": resident / 1_000,
        }
        if index_bytes:  # a store of few keys has no index file yet; 0 would look like a merit
            figures["index file B/key"] = index_bytes / key_count
        return figures

    record.figures(measure, system=GRANIAN.name, case=f"{key_count:,} keys")


def _workers_of(pid: int) -> list[int]:
    """Return the processes of a server that answer requests."""
    workers = [
        child
        for child in descendants_of(pid)
        if _WORKER_MARK in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    if not workers:
        raise NotMeasurable("this system does not show which processes are workers")
    return workers
