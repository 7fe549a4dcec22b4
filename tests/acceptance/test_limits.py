"""Test large values, many connections, slow clients, and full or read-only disks."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import (
    GRANIAN,
    SERVER_NAMES,
    SERVERS,
    WAITRESS,
    Connection,
    connect,
    in_threads,
    kill_whole,
    port_of,
    processes_of,
    start,
)
from tests.support.processes.servers import (
    has_read_all,
    is_running,
    private_folder_of,
    wait_for,
)

MIB = 1024 * 1024
PROBLEM = "application/problem+json"
STOPPED_S = 10
"""Less than the timeouts after which a server closes slow connections."""

both_servers = pytest.mark.parametrize("options", SERVERS, ids=SERVER_NAMES)


def peak_mib(pid: int) -> float:
    """The most memory that a process ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@both_servers
def test_largest_value_goes_in_and_out_within_three_times_its_size(tmp_path, options):
    value = random.Random(1).randbytes(64 * MIB)
    with start(tmp_path, *options) as server, connect(server) as connection:
        before_mib = {pid: peak_mib(pid) for pid in processes_of(server.process.pid)}

        assert connection.ask("PUT", "/v1/kv/large", value).status == 201
        assert connection.ask("GET", "/v1/kv/large").body == value

        grown_mib = {pid: peak_mib(pid) - mib for pid, mib in before_mib.items()}
        too_large = connection.ask("PUT", "/v1/kv/larger", value + bytes(MIB))
        assert (too_large.status, too_large.headers["content-type"]) == (413, PROBLEM)
        assert connection.ask("GET", "/v1/kv/larger").status == 404
        assert max(grown_mib.values()) < 3 * 64, grown_mib


@both_servers
def test_transaction_of_a_thousand_operations_is_the_largest(tmp_path, options):
    def ops(count: int) -> list[dict[str, object]]:
        return [{"op": "put", "key": f"k{number}", "text": "v"} for number in range(count)]

    with start(tmp_path, *options) as server, connect(server) as connection:
        refused = connection.txn(*ops(1_001))
        assert (refused.status, refused.headers["content-type"]) == (413, PROBLEM)
        assert refused.json["limit"] == 1_000
        assert connection.ask("GET", "/v1/stats").json["keys"] == 0
        assert connection.txn(*ops(1_000)).status == 200
        assert connection.ask("GET", "/v1/stats").json["keys"] == 1_000


def test_idle_and_slow_clients_stop_nobody(tmp_path):
    with start(tmp_path, *WAITRESS) as server, contextlib.ExitStack() as stack:
        port = port_of(server)
        with Connection(port) as connection:
            connection.ask("PUT", "/v1/kv/big", bytes(6 * MIB))
        sends = [b""] * 200  # idle
        sends += [b"GET /v1/kv/b"] * 20  # in the middle of a request line
        sends += [b"PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx"] * 20
        sends += [b"GET /v1/kv/big HTTP/1.1\r\nHost: x\r\n\r\n"] * 40  # never reads the answer
        for sent in sends:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(sent)
        time.sleep(0.5)

        with Connection(port, timeout_s=STOPPED_S) as connection:
            for number in range(20):
                assert connection.ask("PUT", f"/v1/kv/{number}", b"1").status == 201
                assert connection.ask("GET", f"/v1/kv/{number}").status == 200


@both_servers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_under_load_loses_nothing_and_ends_with_0(tmp_path, options, number):
    written: list[dict[str, int]] = [{} for _ in range(8)]

    def write(writer: int) -> None:
        answered = written[writer]
        with Connection(port) as connection:
            count = 0
            while True:
                count += 1
                key = f"{writer}/{count % 10}"
                try:
                    answer = connection.ask("PUT", f"/v1/kv/{key}", b"%d" % count)
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException):
                    connection.close()
                    continue
                assert answer.status in (201, 204), answer
                answered[key] = count

    def send_signal() -> None:
        """In the middle of the load: each writer has been answered by then."""
        try:
            wait_for(lambda: all(written))
            time.sleep(0.3)
        finally:
            server.process.send_signal(number)

    with start(tmp_path, *options) as server:
        port = port_of(server)
        pids = processes_of(server.process.pid)
        in_threads(lambda place: write(place) if place < len(written) else send_signal(), 9)
        assert server.wait() == 0, server.stderr
        wait_for(lambda: not any(is_running(pid) for pid in pids))
    with start(tmp_path, *options) as server, connect(server) as connection:
        for answered in written:
            for key, count in answered.items():
                assert int(connection.ask("GET", f"/v1/kv/{key}").body) >= count


@both_servers
def test_request_in_work_is_finished_after_the_signal(tmp_path, options):
    with start(tmp_path, *options) as server:
        head = b"PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE_S) as client:
            client.sendall(head + b"01234")
            wait_for(lambda: has_read_all(client))
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            client.sendall(b"56789")
            assert client.recv(1_000).startswith(b"HTTP/1.1 201")
        assert server.wait() == 0
    with start(tmp_path, *options) as server, connect(server) as connection:
        assert connection.ask("GET", "/v1/kv/slow").body == b"0123456789"


@both_servers
def test_server_that_only_reads_refuses_every_write(tmp_path, options):
    with start(tmp_path, *options) as server, connect(server) as connection:
        connection.ask("PUT", "/v1/kv/k", b"v")
        server.stop()
    with start(tmp_path, *options, "--read-only") as server, connect(server) as connection:
        refusals = [
            connection.ask("PUT", "/v1/kv/k", b"w"),
            connection.ask("PUT", "/v1/kv/new", b"w"),
            connection.ask("DELETE", "/v1/kv/k"),
            connection.txn({"op": "add", "key": "n"}),
            connection.ask("POST", "/v1/admin/compact"),
        ]
        for refusal in refusals:
            assert (refusal.status, refusal.headers["content-type"]) == (403, PROBLEM)
            assert refusal.json["type"] == "/problems/read-only"
        assert connection.ask("GET", "/v1/kv/k").body == b"v"
        assert connection.ask("GET", "/v1").json["read_only"] is True


@both_servers
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_server_in_memory_leaves_nothing_behind(tmp_path, options, end):
    with start(tmp_path, *options, "--in-memory") as server:
        pids = processes_of(server.process.pid)
        folder = private_folder_of(server.process.pid)
        with connect(server) as connection:
            assert connection.ask("PUT", "/v1/kv/k", bytes(100_000)).status == 201
            assert connection.ask("GET", "/v1/kv/k").status == 200
        if end == "stop":
            assert server.stop() == 0
        else:
            os.kill(server.process.pid, signal.SIGKILL)
            server.wait()
        wait_for(lambda: not any(is_running(pid) for pid in pids))

    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["stderr-0"]


def test_after_a_kill_of_everything_in_memory_the_next_server_cleans_up(tmp_path):
    with start(tmp_path, *GRANIAN, "--in-memory") as server:
        folder = private_folder_of(server.process.pid)
        kill_whole(server)

    with start(tmp_path, *WAITRESS, "--in-memory"):
        assert not folder.exists()
