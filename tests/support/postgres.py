"""A PostgreSQL server for the tests of a session; each test has a schema of its own in it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import psycopg

from tests.support import PATIENCE_S
from tests.support.processes.servers import children_of, free_port, wait_for
from tests.support.programs import missing, program

_FOLDERS: Final = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt/postgresql")
_USERS: Final = ("postgres", "nobody")
# What is stored need not outlive the session; everything else is as installed.
_SETTINGS: Final = (
    *("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB"),
    *("max_connections=200", "listen_addresses=127.0.0.1", "autovacuum_naptime=600"),
)
_NUMBERS: Final = itertools.count()


class PostgresServer:
    """A cluster in a new folder, on a free port.

    PostgreSQL refuses to run as root, so root runs it as another user, who cannot enter the folders
    of pytest. ``setpriv`` changes the user, because ``subprocess`` would fork for that instead of
    starting the program at once, and such a child dies of gRPC's handlers if etcd is watched here.
    """

    def __init__(self, *settings: str, source: PostgresServer | None = None) -> None:
        """Start it.

        Args:
            settings: of the server, each ``NAME=VALUE``; default those for one session.
            source: the primary, whose standby this one becomes, under the name ``standby``.
        """
        self.programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="rundlet-postgres-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = next(filter(_is_user, _USERS))
            self._as_user = [program("setpriv"), "--reuid", user]
            shutil.chown(self.folder, user)
        self.port = free_port()
        self._settings = settings or _SETTINGS
        atexit.register(self.stop)
        if source is None:
            self._run("initdb", "-D", self.data, "--auth=trust", "--username=me", "--no-sync")
        else:
            place = f"{source.conninfo} application_name=standby"
            self._run("pg_basebackup", "-D", self.data, "-R", "-c", "fast", "-N", "-d", place)
            self._settings = (*self._settings, f"primary_conninfo={place}")
        self.process = self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> subprocess.Popen[bytes]:
        settings = [part for setting in self._settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *self._as_user,
                    *(self.programs / "postgres", "-D", self.data, "-p", str(self.port)),
                    *("-k", self.folder, *settings),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self.process = process
        wait_for(self._answers)
        return process

    def url(self, **options: str) -> str:
        """Return the address of a store in a schema that no other test uses."""
        options = {"schema": f"test_{os.getpid()}_{next(_NUMBERS)}"} | options
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://me@127.0.0.1:{self.port}/postgres?{query}"

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as link:
            cursor = link.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server: ``SIGSTOP`` freezes it."""
        for pid in (self.process.pid, *children_of(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End all processes at once, frozen or not, as if the machine had died."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)  # so that it starts no others meanwhile
            self.send(signal.SIGKILL)
            self.process.wait()

    def promote(self) -> None:
        """Make a standby the primary, as an operator does."""
        self._run("pg_ctl", "promote", "-D", self.data, "-w", "-t", str(round(PATIENCE_S)))

    def stop(self) -> None:
        """End the server at once, without waiting for connections, and remove its folder."""
        atexit.unregister(self.stop)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def conninfo(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=me dbname=postgres"

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.conninfo).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        command = [*self._as_user, str(self.programs / name), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class PostgresPair:
    """A primary and its standby, with all else as installed.

    Attributes:
        primary, standby: as they began; ``standby`` may have been promoted.
    """

    def __init__(self, *, is_synchronous: bool) -> None:
        settings = ("shared_buffers=32MB", "listen_addresses=127.0.0.1")
        names = ("synchronous_standby_names=standby",) if is_synchronous else ()
        self.primary = PostgresServer(*settings, *names)
        self.standby = PostgresServer(*settings, source=self.primary)
        wait_for(self._is_streaming)

    @property
    def servers(self) -> tuple[PostgresServer, PostgresServer]:
        return self.primary, self.standby

    @property
    def url(self) -> str:
        """Return the address of a store, with both hosts in it."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"postgresql://me@{hosts}/postgres?target_session_attrs=read-write"

    def close(self) -> None:
        """End both, and remove their folders."""
        for server in self.servers:
            server.stop()

    def _is_streaming(self) -> bool:
        return self.primary.execute("SELECT state FROM pg_stat_replication") == [("streaming",)]


@functools.cache
def postgres_server() -> PostgresServer:
    """Return the server of this session, started when the first test asks for it."""
    return PostgresServer()


def _programs() -> Path:
    """Return the folder of the newest PostgreSQL; skip the test if there is none."""
    found = [path for folder in _FOLDERS for path in Path(folder).glob("*/bin/postgres")]
    on_path = shutil.which("postgres")
    if found:
        return max(found, key=lambda path: float(path.parent.parent.name)).parent
    if on_path is None:
        missing("postgresql is not installed (scripts/install-servers installs it)")
    return Path(on_path).resolve().parent


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
