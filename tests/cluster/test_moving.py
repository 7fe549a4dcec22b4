"""A folder moves to three nodes of etcd while it is written to, and the leader dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from rundlet import Client
from tests.support import PATIENCE_S
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer, wait_for

pytestmark = pytest.mark.cluster

KEYS = 30_000


def test_a_move_survives_the_death_of_the_leader(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    source, to = str(tmp_path / "from"), cluster.address("moved")
    (tmp_path / "from.jsonl").write_text(
        "".join(f'{{"key": "k/{number:05d}", "text": "{number}"}}\n' for number in range(KEYS))
    )
    assert run("import", str(tmp_path / "from.jsonl"), "--data", source).code == 0
    with RundletServer("--data", source, stderr_path=tmp_path / "stderr") as server:
        is_moved = threading.Event()
        writer = threading.Thread(target=write, args=[server.url, is_moved])
        writer.start()
        try:
            with (tmp_path / "out").open("wb") as out:
                move = subprocess.Popen(
                    [sys.executable, "-m", "rundlet_server", "copy", source, to, "--follow"],
                    stdout=out,
                    stderr=out,
                    env=os.environ | {"PYTHONUNBUFFERED": "1"},
                )
            try:
                wait_for(lambda: position(tmp_path) > 5)  # of the thirty commits of the import
                cluster.leader().kill()
                wait_for(lambda: "following: at revision" in (tmp_path / "out").read_text())
                is_moved.set()
                writer.join()
                move.send_signal(signal.SIGINT)
                assert move.wait(PATIENCE_S) == 130
            finally:
                move.kill()
                move.wait()
        finally:
            is_moved.set()
            writer.join()
        last = run("copy", source, to, "--json")

        assert last.code == 0, last.err
        with Client(server.url) as client:
            assert json.loads(last.text)["keys"] == client.count() > KEYS
    exports = [run("export", "--format", "csv", "--store", place).out for place in (source, to)]
    assert exports[0] == exports[1]


def write(url: str, is_moved: threading.Event) -> None:
    """Put keys, new ones and such as are copied at the moment, until the store has moved."""
    with Client(url) as client:
        number = 0
        while not is_moved.wait(0.01):
            number += 1
            client.set(f"new/{number}", str(number))
            client.set(f"k/{number * 37 % KEYS:05d}", f"again {number}")


def position(tmp_path) -> int:
    """Return the revision that the copy has noted."""
    found = list((tmp_path / "state").rglob("*.json"))
    return json.loads(found[0].read_bytes())["position"] if found else 0
