"""What does TLS cost: reads over open connections, and a read with a connection of its own?"""

from __future__ import annotations

import dataclasses
import socket
import ssl
import time
from pathlib import Path

import pytest

from bench.costs.turns import in_turns
from bench.errors import LoadFailed
from bench.recorder import Recorder
from bench.systems.catalogue import GRANIAN, GRANIAN_OPTIONS, rundlet
from bench.systems.running import Server, Servers
from bench.systems.system import System
from bench.workload import READS, key_of
from tests.support.processes.certificates import PrivateAuthority

REPEATS_MAX = 1
_CONNECTIONS = 100
_RECEIVE_BYTES = 1 << 16


@pytest.fixture(scope="module")
def authority(work_folder: Path) -> PrivateAuthority:
    return PrivateAuthority(work_folder)


@pytest.fixture(scope="module")
def system(authority: PrivateAuthority) -> System:
    certificate, key = authority.certificate("server")
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    plain = rundlet("granian, tls", *GRANIAN_OPTIONS, *options)
    return dataclasses.replace(plain, scheme="https")


def test_open_connections(record: Recorder, servers: Servers, system: System) -> None:
    with_it, without = servers.get(system), servers.get(GRANIAN)

    record.figures(
        lambda: in_turns(
            lambda: with_it.read(READS)["requests/s"], lambda: without.read(READS)["requests/s"]
        ),
        system=GRANIAN.name,
        case="open connections",
    )


def test_new_connections(
    record: Recorder, servers: Servers, system: System, authority: PrivateAuthority
) -> None:
    with_it, without = servers.get(system), servers.get(GRANIAN)
    context = ssl.create_default_context(cafile=authority.ca_path)

    record.figures(
        lambda: in_turns(lambda: _read_each(with_it, context), lambda: _read_each(without, None)),
        system=GRANIAN.name,
        case="a connection for each read, one after the other",
    )


def _read_each(server: Server, context: ssl.SSLContext | None) -> float:
    """Read keys, each over a connection of its own; return the reads a second."""
    began_s = time.perf_counter()
    for number in range(_CONNECTIONS):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            if context is None:
                _read(connection, server, number)
            else:
                with context.wrap_socket(connection, server_hostname="127.0.0.1") as wrapped:
                    _read(wrapped, server, number)
    return _CONNECTIONS / (time.perf_counter() - began_s)


def _read(connection: socket.socket, server: Server, number: int) -> None:
    number %= server.stage.key_count
    connection.sendall(server.system.dialect.get(key_of(number)))
    if not connection.recv(_RECEIVE_BYTES).startswith(b"HTTP/1.1 200"):
        raise LoadFailed("a read with a connection of its own failed")
