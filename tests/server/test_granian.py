"""Test Granian's workers: restarts, shutdown after in-flight requests, and their end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys

import httpx
import pytest

from tests.support import PATIENCE_S
from tests.support.processes.servers import (
    RundletServer,
    ServerProcess,
    children_of,
    is_running,
    wait_for,
    worker_pids,
)

pytest.importorskip("granian")
from rundlet_server.server.granian import shortcut  # after granian is known to be here

PROGRAM = """
import os, sys, time
from rundlet_server.functions.serving import Service
from rundlet_server.server.granian import server as granian_server
from rundlet_server.server.listen.address import HeldPort
from tests.support.wire.refusing import refuse

def say(line):
    sys.stderr.write(line + "\\n")  # one write, so that lines of two processes do not mix

def parts():
    yield b"first part"
    raise OSError("broken")

def app(environ, start_response):
    say(f"working on {environ['PATH_INFO']}")
    size = len(environ["wsgi.input"].read())
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/broken":
        return parts()
    return [b"%d got %d" % (os.getpid(), size)]

def make_service(waits):
    say(f"worker {os.getpid()}")
    return Service(app, lambda environ: False, lambda path: 1_000, refuse)

if __name__ == "__main__":
    with HeldPort("127.0.0.1", 0) as port:
        ready = lambda: say(f"port {port.address.port}")
        granian_server.run(make_service, port, workers=2, on_ready=ready)
    say("ended")
"""


@pytest.fixture
def server(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with ServerProcess([sys.executable, program], stderr_path=tmp_path / "stderr") as process:
        yield process
    wait_for(lambda: not any(is_running(pid) for pid in told_worker_pids(process)))


@pytest.fixture
def port(server):
    wait_for(lambda: len(told_worker_pids(server)) == 2)
    return int(server.wait_for_line("port ").split()[1])


def told_worker_pids(server: ServerProcess) -> list[int]:
    lines = server.stderr.splitlines()
    return [int(x.split()[1]) for x in lines if x.startswith("worker ") and x[7:].isdigit()]


def ask(port: int, path: str = "/") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_request_being_worked_on_gets_its_answer(server, port, number):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("PUT", "/slow", body=b"x" * 1_000)
    server.wait_for_line("working on /slow")

    server.process.send_signal(number)
    answer = connection.getresponse()

    assert answer.status == 200
    assert answer.read().endswith(b" got 1000")
    assert server.wait() == 0
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_the_whole_group_ends_in_order(server, port, number):
    os.killpg(server.process.pid, number)

    assert server.wait() == 0
    assert "Unexpected" not in server.stderr


def test_signal_while_workers_start_ends_them_too(server):
    wait_for(lambda: told_worker_pids(server))  # one of two; neither may listen yet

    assert server.stop() == 0


def test_answer_that_fails_in_the_middle_does_not_look_whole(server, port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", "/broken")
    with contextlib.closing(connection), pytest.raises((http.client.IncompleteRead, OSError)):
        connection.getresponse().read()

    server.wait_for_line("OSError: broken")
    assert ask(port)  # the worker goes on


def test_this_version_of_granian_lets_plain_gets_pass_the_loop_by():
    assert shortcut.is_known()


def test_killed_server_leaves_no_process_and_a_free_port(server, port):
    everybody = children_of(server.process.pid)
    assert set(told_worker_pids(server)) <= set(everybody)

    server.process.kill()
    server.wait()
    wait_for(lambda: not any(is_running(pid) for pid in everybody))

    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_killed_worker_is_replaced(server, port):
    first = told_worker_pids(server)[0]

    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(told_worker_pids(server)) == 3)

    third = told_worker_pids(server)[2]
    wait_for(lambda: ask(port).startswith(b"%d " % third))
    assert server.stop() == 0


def test_workers_that_do_not_start_are_an_error(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace('say(f"worker {os.getpid()}")', 'raise OSError("no")'))

    with ServerProcess([sys.executable, program], stderr_path=tmp_path / "stderr") as process:
        assert process.wait() == 1
        assert "ServeError: the workers ended before they could serve" in process.stderr


def test_workers_that_are_killed_over_and_over_are_replaced(tmp_path):
    options = ["--data", tmp_path / "data", "--server", "granian", "--workers", "2"]
    with RundletServer(*options, stderr_path=tmp_path / "log") as server:
        killed: set[int] = set()

        def two_new() -> list[int] | None:
            workers = [pid for pid in worker_pids(server.process.pid) if pid not in killed]
            return workers if len(workers) == 2 else None

        for _ in range(6):
            pid = wait_for(two_new)[0]
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

        wait_for(two_new)
        assert server.process.poll() is None
        assert wait_for(lambda: _answers(server)) == 200


def _answers(server: RundletServer) -> int | None:
    try:
        return httpx.get(f"{server.url}/v1").status_code
    except httpx.TransportError:  # came to a worker that died
        return None
