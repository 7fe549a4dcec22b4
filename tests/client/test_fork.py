"""Test a client that a forked child inherits: it never shares a connection with its parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rundlet import Client, ConnectionFailed
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.certificates import PrivateAuthority
from tests.support.processes.forks import ForkedChild, in_child
from tests.support.wire.served_model import served

# From Python 3.12 on; it is what these tests are about.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)

FOUND = b"HTTP/1.1 200 OK\r\nKV-Revision: 7\r\nKV-Version: 2\r\nContent-Length: 2\r\n\r\nhi"
CHILDREN = 8
READS = 30
FORKS = 20
THREADS = 4


@pytest.fixture
def client() -> Iterator[Client]:
    """A client that has been used, of a server that answers each key with the key."""
    with served(ModelStore()) as url, Client(url) as client:
        for name in ("parent", *(f"child-{number}" for number in range(CHILDREN))):
            client.set(name, name)
        yield client


@contextmanager
def busy(client: Client, wrong: list[bytes | None]) -> Iterator[None]:
    """Read in many threads until the block ends; ``wrong`` gets the answers to other requests."""
    stopping = threading.Event()

    def read() -> None:
        while not stopping.is_set():
            found = client.get_bytes("parent")
            if found != b"parent":
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def read_often(client: Client, key: str) -> None:
    for _ in range(READS):
        assert client.get_bytes(key) == key.encode()


def test_children_and_parent_get_their_own_answers(client):
    children = [
        ForkedChild(lambda key=f"child-{number}": read_often(client, key))
        for number in range(CHILDREN)
    ]
    read_often(client, "parent")

    for child in children:
        child.finish()


def test_forks_beside_busy_threads_neither_hang_nor_mix_answers(client):
    wrong: list[bytes | None] = []

    with busy(client, wrong):
        for number in range(FORKS):
            in_child(lambda key=f"child-{number % CHILDREN}": read_often(client, key))

    assert wrong == []


def test_threads_of_a_child_share_its_connections(client):
    def read_in_threads() -> None:
        wrong: list[bytes | None] = []
        with busy(client, wrong):
            read_often(client, "child-0")
        assert wrong == []

    in_child(read_in_threads)


def test_child_of_a_child_gets_its_own_answers(client):
    def fork_again() -> None:
        read_often(client, "child-0")
        grandchild = ForkedChild(lambda: read_often(client, "child-1"))
        read_often(client, "child-0")
        grandchild.finish()

    in_child(fork_again)


def test_child_writes(client):
    in_child(lambda: client.set("from-child", "hello"))

    assert client.get_bytes("from-child") == b"hello"


def test_list_that_is_being_read_goes_on_in_the_child(client):
    pages = client.scan(prefix="child-", limit=CHILDREN)
    first = next(pages).key

    def read_on() -> None:
        assert [info.key for info in pages] == [f"child-{i}" for i in range(1, CHILDREN)]

    in_child(read_on)

    assert first == "child-0"
    read_on()


def test_multiprocessing_that_forks_may_pass_a_client_on(client):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=read_often, args=(client, "child-0"))
    process.start()
    read_often(client, "parent")

    process.join(PATIENCE_S)

    assert process.exitcode == 0


def test_client_is_not_pickled(client):
    with pytest.raises(TypeError, match="make a Client there"):
        pickle.dumps(client)


class CountingServer:
    """Answers every request alike, and counts connections.

    Attributes:
        accepted: connections so far.
        ended: set when the client closes one.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
            self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        with closing(connection):
            while connection.recv(65_536):
                connection.sendall(FOUND)
        self.ended.set()


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with closing(CountingServer()) as server:
        yield server


def test_parent_keeps_its_connection_and_the_child_has_one_of_its_own(server):
    with Client(server.url) as client:
        client.get("a")

        in_child(lambda: (client.get("a"), client.get("a"), client.close()))

        client.get("a")
        assert server.accepted == 2


def test_child_that_lives_on_does_not_keep_the_connections_of_its_parent(server):
    waiting, go = os.pipe()
    client = Client(server.url)
    client.get("a")
    child = ForkedChild(lambda: (os.close(go), os.read(waiting, 1)))
    os.close(waiting)
    try:
        client.close()

        assert server.ended.wait(PATIENCE_S)
    finally:
        os.close(go)
        child.finish()


def test_closed_client_stays_closed_in_a_child(server):
    with Client(server.url) as client:
        client.get("a")

    def use_it() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            client.get("a")

    use_it()
    in_child(use_it)
    assert server.accepted == 1


def test_child_reads_the_authorities_again_although_it_changed_its_folder(tmp_path, monkeypatch):
    authority = PrivateAuthority(tmp_path)
    monkeypatch.chdir(tmp_path)
    client = Client("https://localhost:1", ca_file=authority.ca_path.name, retries=0)

    def connect() -> None:
        os.chdir("/")
        with pytest.raises(ConnectionFailed, match="is the server running"):
            client.get("a")

    in_child(connect)
