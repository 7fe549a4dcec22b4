"""Test that waitress answers in-flight requests after a signal to stop, then ends."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import json
import signal
import socket
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.trigger import trigger

from rundlet_server.server.waitress.channel import Channel
from rundlet_server.server.waitress.sockets import Sockets
from tests.support import PATIENCE_S
from tests.support.processes.servers import ServerProcess, has_read_all, wait_for
from tests.support.wire.raw_http import Answer, read_answers, talk
from tests.support.wire.refusing import refuse

# A server whose app says on stderr when a request has reached it, and works as long as asked.
PROGRAM = """
import sys, time
from rundlet_server.server.listen.address import HeldPort
from rundlet_server.server.waitress.server import GracefulServer
from tests.support.wire.refusing import refuse

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
    if environ["PATH_INFO"] in ("/parts", "/broken"):
        start_response("200 OK", [])
        return parts(is_whole=environ["PATH_INFO"] == "/parts")
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]

def parts(is_whole):
    yield b"one"
    if not is_whole:
        raise RuntimeError
    yield b"two"

def quick(environ):
    if environ["PATH_INFO"] == "/quick":
        say("answering in the loop")
        return "200 OK", [("content-length", "5")], b"quick"

with HeldPort("127.0.0.1", 0) as port:
    server = GracefulServer(
        app,
        port.listener,
        threads=2,
        body_limit=lambda path: 1_000_000,
        refuse=refuse,
        quick=quick,
    )
    server.run(lambda: say(f"port {port.address.port}"))
say("ended")
"""


@pytest.fixture
def program() -> str:
    return PROGRAM


@pytest.fixture
def server(tmp_path, program):
    command = [sys.executable, "-c", program]
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
    wait_for(lambda: has_read_all(connection.sock))

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


# A busy machine may deliver the second signal late.
PATIENT = f"""
from rundlet_server.server.waitress import server
server._SECOND_SIGNAL_S = {PATIENCE_S}
{PROGRAM}"""


@pytest.mark.parametrize("program", [PATIENT])
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


def test_connection_stays_open_after_an_answer_in_chunks(connection):
    for _ in range(3):
        connection.request("GET", "/parts")
        answer = connection.getresponse()

        assert (answer.status, answer.read()) == (200, b"onetwo")
        assert answer.getheader("Transfer-Encoding") == "chunked"
        assert answer.getheader("Connection") is None
        assert connection.sock is not None  # as above


def test_answer_in_chunks_that_breaks_off_closes_the_connection(port):
    answer = talk(port, b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n", is_whole=True)

    assert answer.endswith(b"3\r\none\r\n")


@pytest.mark.parametrize(
    ("version", "header"),
    [("1.1", "Connection: close\r\n"), ("1.1", "Connection: Close\r\n"), ("1.0", "")],
)
@pytest.mark.parametrize("path", ["/empty", "/quick", "/parts"])
def test_connection_is_closed_where_the_client_wants_it(port, path, version, header):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(f"GET {path} HTTP/{version}\r\nHost: x\r\n{header}\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(10_000), b""))

    assert answer.startswith(f"HTTP/{version} 20".encode())
    assert b"Connection: close" in answer


def test_quick_answer_waits_for_no_thread(server, port):
    busy = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S) for _ in range(2)]
    for connection in busy:
        connection.request("GET", "/stuck")
    wait_for(lambda: server.stderr.count("working on /stuck") == 2)

    answers = read_answers(talk(port, b"GET /quick HTTP/1.0\r\n\r\n", is_whole=True))

    assert [answer.body for answer in answers] == [b"quick"]
    for connection in busy:
        connection.close()


def test_pipelined_quick_answers_keep_their_order_and_leave_turns_to_others(server, port):
    paths = ["/quick"] * 20 + ["/work"] + ["/quick"] * 3
    head = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
    last = "GET /last HTTP/1.0\r\n\r\n"

    data = talk(port, ("".join(map(head.format, paths)) + last).encode(), is_whole=True)

    bodies = [answer.body for answer in read_answers(data)]
    assert bodies == [b"quick"] * 8 + [b"got 0"] * (len(paths) + 1 - 8)
    assert server.stderr.count("working on /quick") == 20 + 3 - 8


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
        channel = Channel(
            idle_server, connection, ("127.0.0.1", 1), Adjustments(), {}, refuse=refuse
        )
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


# --- the loop over all sockets --------------------------------------------------------------


Ends = tuple[socket.socket, socket.socket]


class Asked(wasyncore.dispatcher):
    """One end of a connection, which counts how often it is asked what it waits for.

    Attributes:
        client: the other end.
        ask_count: how often it was asked.
        received: what it has read.
        is_busy: it waits for nothing.
        on_read: called after it has read.
    """

    def __init__(self, sockets: Sockets, ends: Ends | None = None) -> None:
        self.ask_count = 0
        self.received = b""
        self.is_busy = False
        self.on_read = lambda: None
        own, self.client = ends or socket.socketpair()
        super().__init__(own, sockets)
        self.connected = True

    def readable(self) -> bool:
        self.ask_count += 1
        return not self.is_busy

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        self.received += self.recv(100)
        self.on_read()

    def close(self) -> None:
        super().close()
        self.client.close()


@pytest.fixture
def sockets():
    opened = Sockets()
    yield opened
    wasyncore.close_all(opened)
    opened.close()


def test_event_on_one_connection_asks_no_other(sockets):
    others = [Asked(sockets) for _ in range(100)]
    one = Asked(sockets)

    for _ in range(20):
        one.client.send(b"x")
        sockets.turn(PATIENCE_S)
        sockets.turn(0)

    assert one.received == b"x" * 20
    assert {other.ask_count for other in others} == {1}


def test_thread_that_answers_wakes_the_loop_for_its_connection(sockets):
    pipe = trigger(sockets)
    one, other = Asked(sockets), Asked(sockets)
    one.is_busy = True
    sockets.turn(0)
    one.client.send(b"next")

    def answer():
        sockets.work_on(one)
        one.is_busy = False
        sockets.wake(pipe.pull_trigger)

    thread = threading.Thread(target=answer)
    thread.start()
    deadline_s = time.monotonic() + PATIENCE_S
    while not one.received and time.monotonic() < deadline_s:
        sockets.turn(PATIENCE_S)
    thread.join()

    assert one.received == b"next"
    assert other.ask_count == 1


def test_descriptor_that_was_closed_and_opened_anew_gets_no_old_event(sockets):
    pair = Asked(sockets), Asked(sockets)
    new: list[Asked] = []
    strays = []

    def replace(closed):
        descriptor = closed.socket.fileno()
        closed.close()
        while not new or new[-1].socket.fileno() != descriptor:
            new.append(Asked(sockets))
            new[-1].handle_read_event = functools.partial(strays.append, new[-1])

    for one, closed in (pair, reversed(pair)):
        one.on_read = functools.partial(replace, closed)
        one.client.send(b"x")
    sockets.turn(0)

    assert sum(len(one.received) for one in pair) == 1
    assert new
    assert strays == []


def test_urgent_byte_does_not_keep_the_loop_busy(sockets):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        one = Asked(sockets, (listener.accept()[0], client))
    client.send(b"x")
    client.send(b"!", socket.MSG_OOB)
    sockets.turn(PATIENCE_S)

    for _ in range(20):
        sockets.turn(0.01)

    assert one.received == b"x"
    assert one.ask_count <= 3


COUNTING = PROGRAM.replace(
    "def app(",
    """
from rundlet_server.server.waitress.channel import Channel

counts = [0]

def readable(self, asked=Channel.readable):
    counts[0] += 1
    return asked(self)

Channel.readable = readable

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % counts[0]]

def unused(""",
)


def test_request_costs_the_same_beside_many_slow_bodies(tmp_path):
    command = [sys.executable, "-c", COUNTING]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess(command, stderr_path=tmp_path / "stderr"))
        port = int(server.wait_for_line("port ").split()[1])
        address = "127.0.0.1", port
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
            slow.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody")

        request = b"GET / HTTP/1.0\r\n\r\n"
        counts = [
            int(read_answers(talk(port, request, is_whole=True), ["GET"])[0].body)
            for _ in range(60)
        ]

    # The slow ones may all be accepted, and read once, while the first are answered.
    assert counts[-1] - counts[20] <= 39 * 5
