"""A PgBouncer in front of the PostgreSQL server of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.postgres import PostgresServer
from tests.support.processes.servers import free_port, wait_for
from tests.support.programs import program

_CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={port} user=me
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {pool_mode}
default_pool_size = {size}
"""


@contextmanager
def pgbouncer(server: PostgresServer, pool_mode: str, size: int) -> Iterator[int]:
    """Run PgBouncer with so many connections to a server; yield its port.

    It refuses to run as root, as the server does.
    """
    path = program("pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="rundlet-pgbouncer-"))
    own_port = free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(port=server.port, own_port=own_port, pool_mode=pool_mode, size=size)
    )
    as_user = []
    if os.geteuid() == 0:
        as_user = [program("setpriv"), "--reuid", "nobody"]
        shutil.chown(folder, "nobody")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*as_user, path, str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            psycopg.connect(f"host=127.0.0.1 port={own_port} user=me dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_for(answers)
        yield own_port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)
