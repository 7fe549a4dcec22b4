"""The servers to compare: Rundlet on each HTTP server, and the others, with default options."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.engines import OURS
from bench.load.dialects import ConstantDialect, EtcdDialect, PathDialect, WebdisDialect
from bench.systems.external import (
    Fsync,
    start_etcd,
    start_nats,
    start_nginx,
    start_redis,
    start_webdis,
)
from bench.systems.processes import Processes, free_port
from bench.systems.system import Stage, System
from bench.workload import rows, write_text_file


def serve_rundlet(options: Sequence[str], processes: Processes, folder: Path) -> int:
    """Start ``rundlet serve`` on a folder; return its port."""
    port = free_port()
    command = [sys.executable, "-m", "rundlet_server", "serve", "--port", str(port)]
    processes.start([*command, "--data", folder, *options], port=port)
    return port


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


def rundlet(layout: str, *options: str) -> System:
    """Describe Rundlet with the options of ``rundlet serve``; the others have their defaults."""
    return System(f"rundlet, {layout}", PathDialect(), partial(_start_rundlet, options))


def _peer(name: str, module: str, *options: str) -> System:
    return System(name, PathDialect(), partial(start_peer, module, options))


def _start_on_redis(fsync: Fsync, processes: Processes, stage: Stage) -> int:
    address = f"redis://127.0.0.1:{start_redis(fsync, processes)}"
    return start_peer("fastapi_redis", [*GRANIAN_OPTIONS, "--database", address], processes, stage)


def _start_on_nats(processes: Processes, stage: Stage) -> int:
    address = f"nats://127.0.0.1:{start_nats(processes)}"
    return start_peer("fastapi_nats", [*GRANIAN_OPTIONS, "--database", address], processes, stage)


def _webdis(name: str, fsync: Fsync) -> System:
    return System(name, WebdisDialect(), partial(start_webdis, fsync), ("webdis",))


def _on_redis(name: str, fsync: Fsync) -> System:
    return System(name, PathDialect(), partial(_start_on_redis, fsync))


WAITRESS_OPTIONS: Final = ("--server", "waitress")
GRANIAN_OPTIONS: Final = ("--server", "granian")

WAITRESS: Final = rundlet("waitress", *WAITRESS_OPTIONS)
GRANIAN: Final = rundlet("granian", *GRANIAN_OPTIONS)
RUNDLETS: Final = (WAITRESS, GRANIAN)

FALCON_WAITRESS: Final = _peer("falcon + dict, waitress", "falcon_dict")
FALCON_GRANIAN: Final = _peer(
    "falcon + dict, granian", "falcon_dict", *GRANIAN_OPTIONS, "--threads", "1"
)
FLASK: Final = _peer("flask + dict, waitress", "flask_dict")
FASTAPI_FILE: Final = _peer("fastapi + file, uvicorn", "fastapi_file")
SQLITE: Final = _peer("fastapi + sqlite, granian", "fastapi_sqlite", *GRANIAN_OPTIONS)
SQLITES: Final = (
    SQLITE,
    _peer("fastapi + sqlite, uvicorn", "fastapi_sqlite", "--server", "uvicorn"),
)
REDIS: Final = _webdis("redis + webdis", "always")
FASTAPI_REDIS: Final = _on_redis("fastapi + redis, granian", "always")
FASTAPI_NATS: Final = System(
    "fastapi + nats kv, granian", PathDialect(), _start_on_nats, ("nats-server",)
)
ETCD: Final = System("etcd, json gateway", EtcdDialect(), start_etcd, ("etcd",))
NGINX: Final = System("nginx, constant", ConstantDialect(), start_nginx, ("nginx",))

READERS: Final = (
    *RUNDLETS,
    FALCON_WAITRESS,
    FALCON_GRANIAN,
    FLASK,
    FASTAPI_FILE,
    *SQLITES,
    REDIS,
    FASTAPI_REDIS,
    FASTAPI_NATS,
    ETCD,
    NGINX,
)
DURABLE_WRITERS: Final = (*RUNDLETS, *SQLITES, REDIS, FASTAPI_REDIS, ETCD)
"""Each of these syncs a write to the disk before it acknowledges the write."""
LATER_WRITERS: Final = (
    rundlet("waitress, --sync interval", *WAITRESS_OPTIONS, "--sync", "interval"),
    rundlet("granian, --sync interval", *GRANIAN_OPTIONS, "--sync", "interval"),
    _webdis("redis + webdis, everysec", "everysec"),
    _on_redis("fastapi + redis, granian, everysec", "everysec"),
    FASTAPI_NATS,
)
"""Each of these acknowledges a write that may not be on the disk yet.

Redis and Rundlet sync within a second. NATS syncs every two minutes, and before 2.10 cannot be set
to do so at every write.
"""
MAIN_SYSTEMS: Final = (*RUNDLETS, FALCON_GRANIAN, SQLITE, REDIS)
"""The systems for questions with many cases."""
