"""Servers that the system installs: Redis or Valkey, Webdis, NATS, etcd, nginx.

Each listens on loopback only, and has its default options except for where its files are and when
it syncs them.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

from bench.errors import NotMeasurable
from bench.load.dialects import EtcdDialect
from bench.scale import CORES
from bench.systems.processes import Processes, free_port
from bench.systems.system import Stage
from bench.workload import rows, value_of

Fsync = Literal["always", "everysec"]
"""When Redis syncs its log: before it acknowledges a write, or every second."""

_ETCD_OPS_MAX: Final = 128
_REDIS_BATCH: Final = 1_000
_ETCD_QUOTA_BYTES: Final = 8 * 1024**3


def start_webdis(fsync: Fsync, processes: Processes, stage: Stage) -> int:
    """Start Redis, filled, and Webdis before it; return Webdis's port."""
    redis_port, port = start_redis(fsync, processes), free_port()
    _fill_redis(redis_port, stage)
    settings = {
        "redis_host": "127.0.0.1",
        "redis_port": redis_port,
        "http_host": "127.0.0.1",
        "http_port": port,
        "threads": 5,  # this and the next are as in the settings file of Debian's package
        "pool_size": 20,
        "daemonize": False,
        "verbosity": 0,
        "logfile": str(processes.folder / "webdis-log"),
    }
    path = processes.folder / "webdis.json"
    path.write_text(json.dumps(settings))
    processes.start(["webdis", path], port=port)
    return port


def start_redis(fsync: Fsync, processes: Processes) -> int:
    """Start Valkey, or Redis if there is no Valkey, with a log of all writes; return its port.

    Raises:
        NotMeasurable: neither is installed.
    """
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise NotMeasurable("neither valkey-server nor redis-server is installed")
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port)]
    durable = ["--save", "", "--appendonly", "yes", "--appendfsync", fsync]
    processes.start([*command, *durable, "--dir", processes.folder], port=port)
    return port


def start_nats(processes: Processes) -> int:
    """Start a NATS server with JetStream in files; return its port."""
    port = free_port()
    where = ["--addr", "127.0.0.1", "--port", str(port)]
    processes.start(
        ["nats-server", *where, "--jetstream", "--store_dir", processes.folder / "nats"], port=port
    )
    return port


def start_etcd(processes: Processes, stage: Stage) -> int:
    """Start one etcd node and fill it over its JSON gateway; return its port."""
    port = free_port()
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    options = {
        "--data-dir": str(processes.folder / "etcd"),
        "--listen-client-urls": url,
        "--advertise-client-urls": url,
        "--listen-peer-urls": peer_url,
        "--initial-advertise-peer-urls": peer_url,
        "--initial-cluster": f"default={peer_url}",
        "--quota-backend-bytes": str(_ETCD_QUOTA_BYTES),
        "--log-level": "error",
    }
    processes.start(["etcd", *(word for option in options.items() for word in option)], port=port)
    _fill_etcd(port, stage)
    return port


def start_nginx(processes: Processes, stage: Stage) -> int:
    """Start nginx, which answers every request with one value: the limit of the machine."""
    port = free_port()
    folder = processes.folder
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\nworker_processes {CORES};\npid {folder}/pid;\nerror_log {folder}/errors;\n"
        "events { worker_connections 1024; }\n"
        f"http {{\naccess_log off;\nkeepalive_requests 100000000;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port};\n"
        "default_type application/octet-stream;\n"
        f'location / {{ return 200 "{value_of(0, stage.value_size).decode()}"; }} }} }}\n'
    )
    processes.start(["nginx", "-p", folder, "-c", path], port=port)
    return port


def _fill_redis(port: int, stage: Stage) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answers = connection.makefile("rb")
        for batch in _batches(stage, _REDIS_BATCH):
            connection.sendall(b"".join(_redis_set(key, value) for key, value in batch))
            if any(answers.readline() != b"+OK\r\n" for _ in batch):
                raise NotMeasurable("redis does not accept the rows")


def _redis_set(key: str, value: bytes) -> bytes:
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
        len(key),
        key.encode(),
        len(value),
        value,
    )


def _fill_etcd(port: int, stage: Stage) -> None:
    dialect = EtcdDialect()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    _wait_for_leader(connection)
    for batch in _batches(stage, _ETCD_OPS_MAX):
        body = dialect.put_all(batch).partition(b"\r\n\r\n")[2]
        connection.request("POST", "/v3/kv/txn", body)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise NotMeasurable(f"etcd does not accept the rows: {told[:200].decode()}")
    connection.close()


def _wait_for_leader(connection: http.client.HTTPConnection) -> None:
    """Wait with a read: a new etcd node accepts writes only after it has elected itself."""
    connection.request("POST", "/v3/kv/range", json.dumps({"key": "AA=="}))
    connection.getresponse().read()


def _batches(stage: Stage, size: int) -> Iterator[list[tuple[str, bytes]]]:
    remaining = rows(stage.key_count, stage.value_size)
    while batch := list(islice(remaining, size)):
        yield batch
