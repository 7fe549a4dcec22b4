"""Test whole servers whose folder is replaced while they run."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from tests.support.disks.removal import remove_in_use
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer, wait_for, wait_for_processes


@pytest.mark.parametrize("kind", ["waitress", "granian"])
def test_server_refuses_writes_once_a_backup_takes_the_place_of_its_folder(tmp_path, kind):
    if kind == "granian" and importlib.util.find_spec("granian") is None:
        pytest.skip("granian is not installed")
    data, backup = tmp_path / "data", tmp_path / "backup"
    run("set", "a", "1", "--data", str(data))
    shutil.copytree(data, backup)
    workers = ("--workers", "2") if kind == "granian" else ()
    with RundletServer(
        "--data", data, "--server", kind, *workers, stderr_path=tmp_path / "stderr"
    ) as server:
        server.client.put("/v1/kv/a", content=b"2").raise_for_status()
        # A process that opens the folder later would make it again, or take the backup for its own.
        wait_for_processes(server, 1 + len(workers) // 2)
        remove_in_use(data)
        shutil.copytree(backup, data)

        refused = server.client.put("/v1/kv/lost", content=b"3")
        ready = server.client.get("/readyz")
        wait_for(lambda: "no longer holds the store" in (tmp_path / "stderr").read_text())

    assert refused.status_code == 503
    assert "restart the server" in refused.json()["detail"]
    assert ready.status_code == 503
    assert run("get", "a", "--data", str(data)).text == "1"
    assert run("get", "lost", "--data", str(data)).code == 1
