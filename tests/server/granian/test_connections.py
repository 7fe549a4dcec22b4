"""Test that the connections of clients are found and closed, many of them with one look."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.support import PATIENCE_S

pytest.importorskip("granian")
from rundlet_server.server.granian import connections as connections_module
from rundlet_server.server.granian.connections import ConnectionCloser, Peer

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
