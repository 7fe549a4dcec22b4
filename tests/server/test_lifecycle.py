"""Test ``rundlet serve`` from start to end on both servers, as real processes."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rundlet_server.functions.version import software_version
from tests.support import PATIENCE_S
from tests.support.processes.servers import (
    RundletServer,
    children_of,
    is_running,
    private_folder_of,
    silent_clients,
    wait_for,
)

UUID = "3479d894-3271-4935-88cf-a06f3cbb80a5"
OTHER_UUID = "f8a24bb8-eff8-41dc-929b-10b4c3e49e05"

WAITRESS = ["--server", "waitress"]
GRANIAN = ["--server", "granian", "--workers", "2"]


@pytest.fixture(params=[WAITRESS, GRANIAN], ids=["waitress", "granian"])
def layout(request):
    if request.param is GRANIAN:
        pytest.importorskip("granian")
    return request.param


@pytest.fixture
def start(tmp_path):
    """Starts a server; every argument is one of the command line."""

    def start_server(*arguments: str | Path) -> RundletServer:
        return RundletServer(*arguments, stderr_path=tmp_path / "stderr")

    return start_server


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "three.data"
    path.write_text(f"{UUID} this is a value\n{OTHER_UUID} 1234\n")
    return path


def run_serve(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A server that is expected not to start."""
    command = [sys.executable, "-m", "rundlet_server", "serve", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


# --- a life --------------------------------------------------------------------------------


def test_value_survives_a_restart(start, layout, data):
    with start("--data", data, *layout) as server:
        assert server.client.put("/v1/kv/greeting", content=b"hello").status_code == 201
        assert server.client.get("/v1/kv/greeting").content == b"hello"
        assert server.stop() == 0

    with start("--data", data, *layout) as server:
        assert server.client.get("/v1/kv/greeting").content == b"hello"
        assert server.stop() == 0


def test_value_survives_a_kill(start, layout, data):
    with start("--data", data, *layout) as server:
        assert server.client.put("/v1/kv/greeting", content=b"hello").status_code == 201
        server.process.kill()
        server.wait()

    with start("--data", data, *layout) as server:
        assert server.client.get("/v1/kv/greeting").content == b"hello"


def test_start_is_told_in_one_line(start, layout, data):
    with start("--data", data, *layout, "--threads", "3", "--sync", "interval") as server:
        lines = server.stderr.splitlines()
        server.stop()

    how = "waitress, 3 threads" if layout == WAITRESS else "granian, 2 workers"
    assert lines == [
        f"Rundlet {software_version()} serving {data} on {server.url} ({how}, sync=interval)"
    ]
    assert server.stderr.splitlines() == lines


def test_interrupt_ends_like_a_termination(start, layout, data):
    with start("--data", data, *layout) as server:
        server.process.send_signal(signal.SIGINT)

        assert server.wait() == 0


def test_last_answer_asks_the_client_to_leave_the_connection(start, layout, data):
    waiting = b"GET /v1/changes?since=0&wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        start(*layout, "--data", data) as server,
        silent_clients(server, 1, waiting) as [opened],
        opened.makefile("rb") as answer,
    ):
        wait_for(lambda: "rundlet_feeds_open 1" in server.client.get("/metrics").text)
        server.process.send_signal(signal.SIGTERM)

        head = b"".join(iter(answer.readline, b"\r\n")).lower()
        assert server.wait() == 0
    assert b"200 ok" in head
    assert b"\r\nconnection: close\r\n" in head


def test_workers_see_each_others_writes(start, data):
    pytest.importorskip("granian")
    trust = ssl.create_default_context()  # each client would read the certificates for 20 ms
    with start("--data", data, *GRANIAN) as server:
        for number in range(100):
            clients = (httpx.Client(verify=trust, timeout=PATIENCE_S) for _ in range(2))
            with next(clients) as writer, next(clients) as reader:
                content = str(number).encode()
                url = f"{server.url}/v1/kv/n"
                assert writer.put(url, content=content).status_code in (201, 204)
                assert reader.get(url).content == content
        operations = server.client.get("/v1/stats").json()["operations"]

    assert operations == {"get": 100, "set": 100, "delete": 0}


def test_counts_begin_anew_with_each_server(start, layout, data):
    for _ in range(2):
        with start("--data", data, *layout) as server:
            server.client.put("/v1/kv/a", content=b"1")
            operations = server.client.get("/v1/stats").json()["operations"]

        assert operations == {"get": 0, "set": 1, "delete": 0}


# --- the end of everything -----------------------------------------------------------------


def test_killed_server_leaves_no_process(start, layout, data):
    with start("--data", data, *layout) as server:
        everybody = children_of(server.process.pid)
        assert everybody
        server.process.kill()
        server.wait()

    wait_for(lambda: not any(is_running(pid) for pid in everybody))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/livez")


def test_dead_maintenance_process_is_replaced(start, data):
    with start("--data", data) as server:
        [maintenance] = children_of(server.process.pid)
        has_metric = functools.partial(metric_is_shown, server)
        wait_for(lambda: has_metric('rundlet_processes{role="maintenance"} 1'))

        os.kill(maintenance, signal.SIGKILL)

        wait_for(lambda: set(children_of(server.process.pid)) - {maintenance})
        wait_for(lambda: has_metric("rundlet_maintenance_failures_total 1"))
        assert server.stop() == 0


def metric_is_shown(server: RundletServer, line: str) -> bool:
    return f"{line}\n" in server.client.get("/metrics").text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_store_in_memory_goes_with_the_server(start, layout, number):
    with start("--in-memory", *layout) as server:
        server.client.put("/v1/kv/greeting", content=b"hello")
        assert server.client.get("/v1/kv/greeting").content == b"hello"
        folder = private_folder_of(server.process.pid)
        assert (folder / "data").is_dir()
        server.process.send_signal(number)
        server.wait()

    wait_for(lambda: not folder.exists())


@contextlib.contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    """Start processes within the block as ``nohup`` does."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_terminal_that_closes_ends_the_server_in_order(start, layout, data):
    with start("--data", data, *layout) as server:
        os.killpg(server.process.pid, signal.SIGHUP)

        assert server.wait() == 0


def test_server_under_nohup_outlives_its_terminal(start, layout, data):
    with ignored(signal.SIGHUP), start("--data", data, *layout) as server:
        processes = set(children_of(server.process.pid))
        os.killpg(server.process.pid, signal.SIGHUP)
        time.sleep(0.5)

        assert server.client.get("/livez").status_code == 200
        assert processes <= set(children_of(server.process.pid))
        assert server.stop() == 0


# --- what does not start -------------------------------------------------------------------


def test_used_port_is_one_line_and_exit_code_4(start, layout, data, tmp_path):
    with start("--data", data, *layout) as server:
        port = server.url.rpartition(":")[2]
        ended = run_serve("--data", tmp_path / "other", "--port", port, *layout)

    assert ended.returncode == 4
    assert ended.stderr.startswith(f"rundlet: port {port} on 127.0.0.1 is in use")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "other").exists()


def test_port_comes_from_the_environment(data, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        ended = run_serve("--data", data)

    assert f"port {port} on 127.0.0.1 is in use" in ended.stderr


def test_host_beyond_this_machine_is_refused_without_insecure(start, data):
    ended = run_serve("--data", data, "--port", "0", "--host", "0.0.0.0")

    assert ended.returncode == 2
    assert "--insecure" in ended.stderr
    with start("--data", data, "--host", "0.0.0.0", "--insecure") as server:
        port = server.url.rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/livez", timeout=PATIENCE_S).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ["--server", "waitress", "--workers", "2"],
        ["--in-memory", "--read-only"],
        ["--keep-for", "soon"],
        ["--port", "70000"],
        ["no-such-file"],
    ],
    ids=" ".join,
)
def test_contradictions_are_usage_errors(arguments, data):
    ended = run_serve("--data", data, *arguments)

    assert ended.returncode == 2
    assert ended.stderr.startswith("rundlet: ")
    assert ended.stderr.count("\n") == 1


# --- files ---------------------------------------------------------------------------------


def test_file_is_loaded_once(start, layout, data, text_file):
    with start(text_file, "--data", data, *layout) as server:
        assert server.client.get(f"/v1/kv/{UUID}").content == b"this is a value"
        server.client.put(f"/v1/kv/{UUID}", content=b"changed since")
        server.client.delete(f"/v1/kv/{OTHER_UUID}")
        server.stop()

    with start(text_file, "--data", data, *layout) as server:
        assert server.client.get(f"/v1/kv/{UUID}").content == b"changed since"
        assert server.client.get(f"/v1/kv/{OTHER_UUID}").status_code == 404


def test_changed_file_is_loaded_again(start, data, text_file):
    with start(text_file, "--data", data) as server:
        server.stop()
    text_file.write_text(f"{UUID} a new value\n")

    with start(text_file, "--data", data) as server:
        assert server.client.get(f"/v1/kv/{UUID}").content == b"a new value"


def test_bad_file_is_named_and_nothing_is_served(data, text_file):
    text_file.write_text(f"{UUID} good\nnot a uuid\n")

    ended = run_serve(text_file, "--data", data, "--port", "0")

    assert ended.returncode != 0
    assert f"{text_file}:2: " in ended.stderr


def test_file_is_served_read_only(start, layout, text_file, data):
    with start("--read-only", text_file, "--data", data, *layout) as server:
        assert server.client.get(f"/v1/kv/{UUID}").content == b"this is a value"
        refused = server.client.put(f"/v1/kv/{UUID}", content=b"x")
        server.stop()

    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/read-only")
    assert not data.exists()


def test_folder_is_served_read_only(start, layout, data):
    with start("--data", data) as server:
        server.client.put("/v1/kv/a", content=b"1")
        server.stop()

    with start("--data", data, "--read-only", *layout) as server:
        assert server.client.get("/v1/kv/a").content == b"1"
        assert server.client.put("/v1/kv/a", content=b"2").status_code == 403


def test_limits_reach_the_functions(start, layout, data):
    with start("--data", data, "--max-value-bytes", "10", *layout) as server:
        refused = server.client.put("/v1/kv/a", content=b"x" * 11)

    assert (refused.status_code, refused.json()["limit"]) == (413, 10)
