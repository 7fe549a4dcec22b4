"""The servers to compare: Rundlet with each server and layout, and the others."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.engines import OURS
from bench.load.dialects import ConstantDialect, EtcdDialect, PathDialect, WebdisDialect
from bench.scale import CORES
from bench.systems.external import start_etcd, start_nginx, start_redis
from bench.systems.processes import Processes, free_port
from bench.systems.system import Stage, System
from bench.workload import rows, write_text_file


def serve_rundlet(options: Sequence[str], processes: Processes, folder: Path) -> int:
    """Start ``rundlet serve`` on a folder; return its port."""
    port = free_port()
    command = [sys.executable, "-m", "rundlet_server", "serve", "--port", str(port)]
    processes.start([*command, "--data", folder, *options], port=port)
    return port


def granian_options(workers: int, threads: int) -> list[str]:
    """Return options for ``rundlet serve``, and for the small servers that have the same ones."""
    return ["--server", "granian", "--workers", str(workers), "--threads", str(threads)]


def _start_rundlet(options: Sequence[str], processes: Processes, stage: Stage) -> int:
    folder = processes.folder / "data"
    with contextlib.closing(OURS.open(folder, "never")) as engine:
        engine.put_all(rows(stage.key_count, stage.value_size))
    return serve_rundlet(options, processes, folder)


def start_peer(module: str, options: Sequence[str], processes: Processes, stage: Stage) -> int:
    """Start a small server of ``bench.peers`` with the rows of a stage; return its port."""
    rows_path = processes.folder / "rows"
    write_text_file(rows_path, stage.key_count, stage.value_size)
    port = free_port()
    command = [sys.executable, "-m", f"bench.peers.{module}", "--port", str(port)]
    folders: list[str | Path] = ["--rows", rows_path, "--folder", processes.folder]
    processes.start([*command, *folders, *options], port=port)
    return port


def _rundlet(layout: str, *options: str) -> System:
    return System(f"rundlet, {layout}", PathDialect(), partial(_start_rundlet, options))


def _peer(name: str, module: str, *options: str) -> System:
    return System(name, PathDialect(), partial(start_peer, module, options))


def _layout(workers: int, threads: int) -> str:
    return f"granian {workers}x{threads}"  # processes, and threads of each


_COUNTS: Final = tuple(dict.fromkeys((1, CORES)))  # one process, and one process for each core
_LAYOUTS: Final = tuple((workers, threads) for workers in _COUNTS for threads in (1, 32))

WAITRESS: Final = _rundlet("waitress", "--server", "waitress")
GRANIANS: Final = tuple(
    _rundlet(_layout(*layout), *granian_options(*layout)) for layout in _LAYOUTS
)
RUNDLETS: Final = (WAITRESS, *GRANIANS)

FALCON_WAITRESS: Final = _peer("falcon + dict, waitress", "falcon_dict")
FALCON_GRANIANS: Final = tuple(
    _peer(f"falcon + dict, {_layout(workers, 1)}", "falcon_dict", *granian_options(workers, 1))
    for workers in _COUNTS
)
FLASK: Final = _peer("flask + dict, waitress", "flask_dict")
FASTAPI_FILE: Final = _peer("fastapi + file, uvicorn", "fastapi_file")
SQLITES: Final = tuple(
    _peer(f"fastapi + sqlite, uvicorn {workers}", "fastapi_sqlite", "--workers", str(workers))
    for workers in _COUNTS
)
REDIS: Final = System("redis + webdis", WebdisDialect(), start_redis, ("redis-server", "webdis"))
ETCD: Final = System("etcd, json gateway", EtcdDialect(), start_etcd, ("etcd",))
NGINX: Final = System("nginx, constant", ConstantDialect(), start_nginx, ("nginx",))

WITHOUT_HISTORY: Final = tuple(
    _rundlet(f"{layout}, keep-for 0", *options, "--keep-for", "0", "--keep-versions", "1")
    for layout, options in (
        ("waitress", ["--server", "waitress"]),
        *((_layout(workers, 4), granian_options(workers, 4)) for workers in _COUNTS),
    )
)
"""With ``--keep-for 0`` the next compaction may drop a replaced value."""

READERS: Final = (
    *RUNDLETS,
    FALCON_WAITRESS,
    *FALCON_GRANIANS,
    FLASK,
    FASTAPI_FILE,
    *SQLITES,
    REDIS,
    ETCD,
    NGINX,
)
DURABLE_WRITERS: Final = (*RUNDLETS, *SQLITES, REDIS, ETCD)
"""Each of these syncs a write to the disk before it acknowledges the write."""
MAIN_SYSTEMS: Final = (WAITRESS, GRANIANS[0], GRANIANS[-1], FALCON_GRANIANS[0], SQLITES[0], REDIS)
"""The systems for questions with many cases."""
BY_NAME: Final = {system.name: system for system in READERS}
