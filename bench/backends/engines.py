"""Engines that synchronise every commit to the disk, and stores in them that are filled."""

from __future__ import annotations

import contextlib
import functools
from itertools import islice

from bench.errors import NotMeasurable
from bench.systems.external import start_etcd
from bench.systems.processes import Processes
from bench.systems.system import Stage
from bench.workload import rows
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_store
from tests.support.postgres import PostgresServer


@functools.cache
def postgres() -> PostgresServer:
    """Return the PostgreSQL of this run, as it is installed; it ends with the run."""
    return PostgresServer("listen_addresses=127.0.0.1", "max_connections=200")


def etcd_store(processes: Processes, stage: Stage) -> str:
    """Start a node of etcd; return the address of a filled store in it."""
    address = f"etcd://127.0.0.1:{start_etcd(processes, Stage(0))}/bench"
    fill(address, stage)
    return address


def postgres_store(processes: Processes, stage: Stage) -> str:
    """Return the address of a filled store of its own in the PostgreSQL of this run."""
    processes.shared.append(postgres().process.pid)
    address = postgres().url()
    fill(address, stage)
    return address


def fill(address: str, stage: Stage) -> None:
    """Write the rows of a stage to a store."""
    remaining = rows(stage.key_count, stage.value_size)
    try:
        with contextlib.closing(open_store(StoreAddress.parse(address))) as store:
            ops_max = store.info.limits.txn_ops_max
            while batch := list(islice(remaining, ops_max)):
                store.commit(Txn([Put(key, value) for key, value in batch]))
            store.finish_load()
    except StoreError as ex:
        raise NotMeasurable(f"{address} does not accept the rows: {ex}") from ex
