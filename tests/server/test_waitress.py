"""Test that waitress answers in-flight requests after a signal to stop, then ends."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import sys
import time
from types import SimpleNamespace

import pytest
from waitress.adjustments import Adjustments
from waitress.buffers import ReadOnlyFileBasedBuffer

from rundlet_server.server.waitress.channel import Channel
from tests.support import PATIENCE_S
from tests.support.processes.servers import ServerProcess, wait_for
from tests.support.wire.raw_http import Answer, read_answers, talk

# A server whose app says on stderr when a request has reached it, and works as long as asked.
PROGRAM = """
import sys, time
from rundlet_server.server.listen.address import HeldPort
from rundlet_server.server.waitress.server import GracefulServer

def say(line):
    sys.stderr.write(line + "\\n")  # one write, so that lines of two processes do not mix

def app(environ, start_response):
    say(f"working on {environ['PATH_INFO']}")
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    if environ["PATH_INFO"] == "/stuck":
        time.sleep(60)
    answer = b"x" * 20_000_000 if environ["PATH_INFO"] == "/large" else b"got %d" % len(body)
    if environ["PATH_INFO"] == "/empty":
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]

with HeldPort("127.0.0.1", 0) as port:
    server = GracefulServer(app, port.listener, threads=2, body_limit=lambda path: 1_000_000)
    server.run(lambda: say(f"port {port.address.port}"))
say("ended")
"""


@pytest.fixture
def server(tmp_path):
    command = [sys.executable, "-c", PROGRAM]
    with ServerProcess(command, stderr_path=tmp_path / "stderr") as process:
        yield process


@pytest.fixture
def port(server):
    return int(server.wait_for_line("port ").split()[1])


@pytest.fixture
def connection(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    yield connection
    connection.close()


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed meanwhile
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_request_being_worked_on_gets_its_answer(server, port, connection, number):
    connection.request("GET", "/slow")
    server.wait_for_line("working on /slow")

    server.process.send_signal(number)
    wait_for(lambda: is_refused(port))
    answer = connection.getresponse()

    assert (answer.status, answer.read()) == (200, b"got 0")
    assert server.wait() == 0
    assert server.stderr.endswith("ended\n")


def test_request_being_sent_is_taken_to_its_end(server, port, connection):
    connection.putrequest("PUT", "/upload")
    connection.putheader("Content-Length", "30000")
    connection.endheaders()
    connection.send(b"x" * 10_000)
    time.sleep(0.2)  # the server has read the beginning; nothing shows it from outside

    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_refused(port))
    connection.send(b"x" * 10_000)
    time.sleep(0.2)
    connection.send(b"x" * 10_000)
    answer = connection.getresponse()

    assert (answer.status, answer.read()) == (200, b"got 30000")
    assert server.wait() == 0


def test_answer_being_sent_is_sent_to_its_end(server, port, connection):
    connection.request("GET", "/large")
    answer = connection.getresponse()
    assert len(answer.read(1_000)) == 1_000

    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_refused(port))
    time.sleep(0.2)

    assert len(answer.read()) == 20_000_000 - 1_000
    assert server.wait() == 0


def test_idle_connection_does_not_delay_the_end(server, connection):
    connection.request("GET", "/")
    connection.getresponse().read()

    assert server.stop() == 0  # within less than the time that an idle connection may last


def test_second_signal_ends_at_once(server, port, connection):
    connection.request("GET", "/stuck")
    server.wait_for_line("working on /stuck")
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_refused(port))
    time.sleep(0.6)

    server.process.send_signal(signal.SIGTERM)

    assert server.wait(20) == -signal.SIGTERM


def test_same_signal_passed_on_twice_counts_once(server, port, connection):
    connection.request("GET", "/slow")
    server.wait_for_line("working on /slow")

    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)

    assert connection.getresponse().status == 200
    assert server.wait() == 0


def test_connection_stays_open_after_an_answer_without_body(server, connection):
    for _ in range(3):
        connection.request("PUT", "/empty", body=b"x")
        answer = connection.getresponse()

        assert (answer.status, answer.read()) == (204, b"")
        assert answer.getheader("Connection") is None
        assert connection.sock is not None  # http.client drops it where the server will close


@pytest.mark.parametrize(
    ("version", "header"), [("1.1", "Connection: close\r\n"), ("1.0", "")], ids=["1.1", "1.0"]
)
def test_connection_is_closed_where_the_client_wants_it(server, port, version, header):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(f"GET /empty HTTP/{version}\r\nHost: x\r\n{header}\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(10_000), b""))

    assert answer.startswith(f"HTTP/{version} 204".encode())
    assert b"Connection: close" in answer


def test_headers_up_to_the_limit_are_taken_and_longer_ones_named(port):
    start, end = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ", b"\r\n\r\n"

    def asked(size: int) -> Answer:
        (answer,) = read_answers(
            talk(port, start.ljust(size - len(end), b"x") + end, is_whole=True)
        )
        return answer

    assert asked(65_536).status == 200
    assert "header_bytes_max is 65536, got 65537;" in json.loads(asked(65_537).body)["detail"]


class EagerSocket(socket.socket):
    """A connection whose client takes everything at once."""

    sent_bytes = 0

    def send(self, data: bytes) -> int:
        self.sent_bytes += len(data)
        return len(data)


def test_a_client_that_reads_fast_leaves_turns_to_others():
    ours, theirs = socket.socketpair()
    with theirs, EagerSocket(fileno=ours.detach()) as connection:
        idle_server = SimpleNamespace(active_channels={})
        channel = Channel(idle_server, connection, ("127.0.0.1", 1), Adjustments(), {})
        file = ReadOnlyFileBasedBuffer(io.BytesIO(bytes(10_000_000)))
        file.prepare()
        channel.outbufs.insert(0, file)
        channel.total_outbufs_len = 10_000_000
        turns = []
        while channel.total_outbufs_len:
            before = connection.sent_bytes
            channel.handle_write()
            turns.append(connection.sent_bytes - before)

        assert sum(turns) == 10_000_000
        assert max(turns) == 128 * 1024
