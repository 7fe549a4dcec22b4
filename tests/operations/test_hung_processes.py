"""Test that a process that is stopped is noticed and replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from rundlet_server.server.helpers.hung import HungProcesses
from rundlet_server.storage.counting import heartbeat
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.counting.heartbeat import beats, hung_processes
from rundlet_server.storage.counting.rows import SUFFIX
from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import port_of
from tests.support.processes.servers import (
    RundletServer,
    children_of,
    holder_of,
    is_running,
    wait_for,
)
from tests.support.wire.prometheus_text import parse

BEATS = """
import sys
from pathlib import Path
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.counting.heartbeat import start_heartbeat
start_heartbeat(SharedCounters(Path(sys.argv[1])))
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "counters"
    path.mkdir()
    return path


def beating(directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BEATS, str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def test_stopped_process_is_late_and_others_are_not(directory, monkeypatch):
    monkeypatch.setattr(heartbeat, "HUNG_MS", 1_500)
    with beating(directory) as stopped, beating(directory) as other:
        wait_for(lambda: len(beats(directory)) == 2)
        os.kill(stopped.pid, signal.SIGSTOP)
        shared = SharedCounters(directory)
        late = wait_for(lambda: hung_processes(shared))
        os.kill(stopped.pid, signal.SIGCONT)
        wait_for(lambda: not hung_processes(shared))
        stopped.stdin.close()
        other.stdin.close()

    assert [process.pid for process in late] == [stopped.pid]


def test_process_is_not_late_because_an_ended_one_had_its_pid(directory):
    ended = SharedCounters(directory)
    heartbeat.beat(ended)
    assert len(beats(directory)) == 1
    del ended

    present = SharedCounters(directory)

    assert beats(directory) == {}
    heartbeat.beat(present)
    assert len(beats(directory)) == 1


def test_pause_of_all_processes_is_nobodys_fault(directory, monkeypatch):
    with beating(directory) as one, beating(directory) as two:
        wait_for(lambda: len(beats(directory)) == 2)
        for process in (one, two):
            os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: all(is_stopped(process.pid) for process in (one, two)))
        last_ms = sorted(beats(directory).values())
        hung_ms = last_ms[1] - last_ms[0] + 500
        monkeypatch.setattr(heartbeat, "HUNG_MS", hung_ms)
        wait_for(lambda: time.monotonic() * 1_000 > last_ms[1] + hung_ms)
        late = hung_processes(SharedCounters(directory))
        for process in (one, two):
            os.kill(process.pid, signal.SIGCONT)
            process.stdin.close()

    assert late == {}


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_stopped_child_is_ended(directory, caplog):
    with beating(directory) as child, HungProcesses(directory, every_s=0.5, looks_max=6):
        wait_for(lambda: beats(directory))
        os.kill(child.pid, signal.SIGSTOP)

        assert child.wait() == -signal.SIGKILL

    assert f"the worker process {child.pid} has not moved for 3 s" in caplog.text


def test_child_that_moves_is_left_alone(directory):
    with beating(directory) as child, HungProcesses(directory, every_s=0.01, looks_max=400):
        wait_for(lambda: beats(directory))
        threading.Event().wait(3)

        assert child.poll() is None
        child.stdin.close()


def counters_of(server: RundletServer) -> Path | None:
    """Return where the processes of a server count, once three of them run."""
    for pid in children_of(server.process.pid):
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                path = Path(os.readlink(link))
            except OSError:
                continue  # closed since
            if path.suffix == SUFFIX and len(beats(path.parent)) == 3:
                return path.parent
    return None


def test_server_notices_and_replaces_stopped_processes(tmp_path):
    pytest.importorskip("granian")
    arguments = ("--data", tmp_path / "data", "--server", "granian", "--workers", "2")
    with (
        RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server,
        closing(HTTPConnection("127.0.0.1", port_of(server), timeout=PATIENCE_S)) as connection,
    ):

        def page(path: str) -> str:
            """Ask the worker that is left running: every other new connection meets none."""
            connection.request("GET", path)
            return connection.getresponse().read().decode()

        directory = wait_for(lambda: counters_of(server))
        page("/livez")
        running = [process.pid for process in beats(directory) if process.role == "worker"]
        running = [holder_of(connection.sock, running)]
        victims = {each.role: each.pid for each in beats(directory) if each.pid not in running}
        for pid in victims.values():
            os.kill(pid, signal.SIGSTOP)

        reasons: set[str] = set()
        gauges: set[str] = set()

        def are_reported() -> bool:
            """Whether both were seen in both pages; a busy machine may not show them together."""
            shown = json.loads(page("/readyz")).get("reasons", [])
            reasons.update(each.split(" has not moved")[0] for each in shown if "moved" in each)
            samples = parse(page("/metrics"))["rundlet_processes_hung"].samples
            gauges.update(
                dict(labels)["role"] for (_, labels), count in samples.items() if count == 1
            )
            return len(reasons) == len(gauges) == 2

        wait_for(are_reported)
        wait_for(lambda: not any(map(is_running, victims.values())))
        wait_for(lambda: len(beats(directory)) == 3)
        wait_for(lambda: '"ready":true' in page("/readyz"))

    assert reasons == {f"the {role} process {victims[role]}" for role in ("maintenance", "worker")}
