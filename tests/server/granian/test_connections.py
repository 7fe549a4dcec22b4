"""Test that the connections of clients are found and closed, many of them with one look."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.servers import RundletServer, wait_for

pytest.importorskip("granian")
from rundlet_server.server.granian import connections as connections_module
from rundlet_server.server.granian.connections import (
    ConnectionCloser,
    Peer,
    admit_no_more,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists descriptors")


@contextlib.contextmanager
def connected(host: str, count: int) -> Iterator[list[socket.socket]]:
    """Yield the clients' ends of connections whose other ends are in this process, too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), family=family))
        clients = []
        for _ in range(count):
            client = socket.create_connection(listener.getsockname()[:2], PATIENCE_S)
            clients.append(stack.enter_context(client))
            stack.enter_context(listener.accept()[0])
        yield clients


def peer_of(client: socket.socket) -> Peer:
    address, port = client.getsockname()[:2]
    return address, str(port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connection_of_one_client_is_closed_and_no_other(host: str):
    with connected(host, 3) as (before, client, after):
        ConnectionCloser().close(peer_of(client)).result(PATIENCE_S)

        assert client.recv(1) == b""
        for other in (before, after):
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.recv(1)


def test_connections_that_are_closed_at_once_are_found_with_few_looks(
    monkeypatch: pytest.MonkeyPatch,
):
    looks: list[None] = []
    listed = connections_module._connections

    def counted() -> Iterator[socket.socket]:
        looks.append(None)
        return listed()

    monkeypatch.setattr(connections_module, "_connections", counted)
    closer = ConnectionCloser()
    with connected("127.0.0.1", 100) as clients:
        for closed in [closer.close(peer_of(client)) for client in clients]:
            closed.result(PATIENCE_S)
        assert all(client.recv(1) == b"" for client in clients)

    assert len(looks) < 10


def test_client_that_has_left_is_not_waited_for():
    ConnectionCloser().close(("127.0.0.1", "1")).result(PATIENCE_S)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_are_served_when_no_more_are_admitted(
    host: str, monkeypatch: pytest.MonkeyPatch
):
    listed = connections_module._connections
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), family=family))
        address = listener.getsockname()[:2]
        client = stack.enter_context(socket.create_connection(address, PATIENCE_S))
        # There may be other sockets that listen in this process.
        monkeypatch.setattr(
            connections_module,
            "_connections",
            lambda: (found for found in listed() if found.getsockname()[:2] == address),
        )
        admit_no_more()

        with pytest.raises(TimeoutError):
            socket.create_connection(address, 0.2)
        client.sendall(b"a request")
        accepted = stack.enter_context(listener.accept()[0])
        assert accepted.recv(100) == b"a request"
        accepted.sendall(b"an answer")
        assert client.recv(100) == b"an answer"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, PATIENCE_S)


def test_connection_that_a_server_took_before_it_stops_is_answered(tmp_path: Path):
    """A busy machine may let a request come too late; then the test stops another server."""
    for attempt in range(4):
        if "" not in (answers := answers_while_stopping(tmp_path / f"{attempt}")):
            break

    assert "" not in answers
    assert any(answer.startswith("HTTP/1.1 2") for answer in answers)


def answers_while_stopping(folder: Path) -> list[str]:
    """Stop a server, and return what it answered on connections that send after a moment."""
    answers: list[str] = []
    threads = []
    folder.mkdir()
    with RundletServer(
        *("--data", folder / "data", "--server", "granian", "--workers", "1"),
        stderr_path=folder / "stderr",
    ) as server:
        address = ("127.0.0.1", server.client.base_url.port)

        def ask(connection: socket.socket) -> None:
            time.sleep(0.03)
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"PUT /v1/kv/a HTTP/1.1\r\nHost: localhost\r\n")
                connection.sendall(b"Connection: close\r\nContent-Length: 1\r\n\r\nx")
                answers.append(connection.recv(1_000).decode())
                return
            answers.append("")

        def connect() -> None:
            with contextlib.suppress(OSError):  # the server is away
                while True:
                    connection = socket.create_connection(address, PATIENCE_S)
                    threads.append(threading.Thread(target=ask, args=[connection]))
                    threads[-1].start()
                    time.sleep(0.005)

        connecting = threading.Thread(target=connect)
        connecting.start()
        wait_for(lambda: answers)
        server.process.send_signal(signal.SIGTERM)
        connecting.join()
        for thread in threads:
            thread.join()
        assert server.wait() == 0
    return answers
