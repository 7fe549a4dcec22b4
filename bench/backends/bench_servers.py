"""What does a second server on the same engine gain, and what is the limit?

Each server is one process. They share the cores of the machine with the engine and the load.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.backends.engines import etcd_store, postgres_store
from bench.backends.systems import serve
from bench.backends.usage import with_cores
from bench.load import generator
from bench.load.dialects import PathDialect
from bench.load.generator import Plan
from bench.load.script import MixScript
from bench.load.wrk import figures_of
from bench.recorder import Recorder
from bench.scale import Scale
from bench.systems.catalogue import GRANIAN_OPTIONS
from bench.systems.processes import Processes
from bench.systems.system import Stage
from bench.workload import READS
from tests.support.programs import program

CLIENTS = 64
COUNTS = ("one server", "two servers")


class Pair(NamedTuple):
    """Two servers on one engine.

    Attributes:
        engine: its name.
        ports: of the servers.
        pids: process ids, by what uses cores.
    """

    engine: str
    ports: tuple[int, ...]
    pids: dict[str, list[int]]


def on_etcd(processes: Processes, stage: Stage) -> Pair:
    """Start both on a node of etcd."""
    program("etcd")
    address = etcd_store(processes, stage)
    ports = _serve_twice(address, processes)
    pids = {"server cores": processes.pids[1:], "engine cores": processes.pids[:1]}
    return Pair("etcd", ports, pids)


def on_postgres(processes: Processes, stage: Stage) -> Pair:
    """Start both on the PostgreSQL of this run."""
    ports = _serve_twice(postgres_store(processes, stage), processes)
    pids = {"server cores": processes.pids, "engine cores": processes.shared}
    return Pair("postgresql", ports, pids)


def _serve_twice(address: str, processes: Processes) -> tuple[int, ...]:
    return tuple(serve(address, GRANIAN_OPTIONS, processes) for _ in COUNTS)


@pytest.fixture(scope="module", params=[on_etcd, on_postgres], ids=["etcd", "postgresql"])
def pair(request: pytest.FixtureRequest, work_folder: Path, scale: Scale) -> Iterator[Pair]:
    """Offer two servers on each engine."""
    start: Callable[[Processes, Stage], Pair] = request.param
    with Processes(work_folder) as processes:
        yield start(processes, Stage(scale.http_keys))


@pytest.mark.parametrize("count", [1, 2], ids=COUNTS)
def test_servers(record: Recorder, pair: Pair, scale: Scale, count: int) -> None:
    script = MixScript(PathDialect(), READS, scale.http_keys, insert_from=1 << 32)
    plan = Plan(pair.ports[0], script, CLIENTS, scale.load_s, scale.warm_up_s)
    plan = dataclasses.replace(plan, further_ports=pair.ports[1:count])

    record.figures(
        lambda: with_cores(lambda: figures_of(generator.run(plan)), pair.pids),
        system=COUNTS[count - 1],
        case=pair.engine,
    )
