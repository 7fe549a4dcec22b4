"""The servers to compare: Rundlet on etcd and on PostgreSQL, and these engines without it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bench.backends.engines import etcd_store, postgres, postgres_store
from bench.load.dialects import EtcdDialect, LinearizableEtcdDialect, PathDialect
from bench.systems.catalogue import GRANIAN_OPTIONS, WAITRESS_OPTIONS, start_peer
from bench.systems.external import start_etcd
from bench.systems.processes import Processes, free_port
from bench.systems.system import Stage, System

MakeStore = Callable[[Processes, Stage], str]


def serve(address: str, options: Sequence[str], processes: Processes) -> int:
    """Start ``rundlet serve`` on a store; return its port."""
    port = free_port()
    command = [sys.executable, "-m", "rundlet_server", "serve", "--port", str(port)]
    processes.start([*command, "--store", address, *options], port=port)
    return port


def _start(make: MakeStore, options: Sequence[str], processes: Processes, stage: Stage) -> int:
    return serve(make(processes, stage), options, processes)


def _start_psycopg(options: Sequence[str], processes: Processes, stage: Stage) -> int:
    processes.shared.append(postgres().process.pid)
    options = [*options, "--database", postgres().conninfo]
    return start_peer("fastapi_psycopg", options, processes, stage)


def _rundlets(engine: str, make: MakeStore, programs: Sequence[str]) -> tuple[System, ...]:
    layouts = {"waitress": WAITRESS_OPTIONS, "granian": GRANIAN_OPTIONS}
    return tuple(
        System(
            f"rundlet on {engine}, {layout}",
            PathDialect(),
            partial(_start, make, options),
            programs,
        )
        for layout, options in layouts.items()
    )


ON_ETCD: Final = _rundlets("etcd", etcd_store, ("etcd",))
GATEWAYS: Final = (
    System("etcd, json gateway, linearizable", LinearizableEtcdDialect(), start_etcd, ("etcd",)),
    System("etcd, json gateway, serializable", EtcdDialect(), start_etcd, ("etcd",)),
)
ON_POSTGRES: Final = _rundlets("postgresql", postgres_store, ())
PSYCOPGS: Final = tuple(
    System(
        f"fastapi + psycopg, {server}",
        PathDialect(),
        partial(_start_psycopg, ["--server", server]),
    )
    for server in ("granian", "uvicorn")
)

READERS: Final = (*ON_ETCD, *GATEWAYS, *ON_POSTGRES, *PSYCOPGS)
DURABLE_WRITERS: Final = (*ON_ETCD, GATEWAYS[0], *ON_POSTGRES, *PSYCOPGS)
"""Each of these syncs a write to the disk before it acknowledges the write."""
