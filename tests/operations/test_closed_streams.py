"""Test a server whose caller has closed the standard streams, as some daemons and scripts do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
import pytest

from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import SERVER_NAMES
from tests.support.processes.servers import ServerProcess, children_of, free_port, wait_for


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("server", SERVER_NAMES)
def test_no_file_of_the_store_takes_the_place_of_a_closed_stream(tmp_path: Path, server: str):
    data, url = tmp_path / "data", f"http://127.0.0.1:{free_port()}"
    data.mkdir()
    _, secret = TokenFile(data).add("writer", "write")
    token = {"Authorization": f"Bearer {secret}"}
    command = [sys.executable, "-m", "rundlet_server", "serve", "--port", url.rpartition(":")[2]]
    options = ["--data", str(data), "--server", server]
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]

    with ServerProcess([*shell, *command, *options], stderr_path=tmp_path / "log") as process:
        wait_for(lambda: is_ready(url))
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            written = client.put("/v1/kv/a", content=b"1", headers=token)
            in_txn = client.post("/v1/txn", json={"then": []}, headers=token)
            refused = client.get("/v1/kv/a")
        pids = [process.process.pid, *children_of(process.process.pid)]
        streams = {os.readlink(f"/proc/{pid}/fd/{number}") for pid in pids for number in (1, 2)}
        code = process.stop()

    assert [each.status_code for each in (written, in_txn, refused)] == [201, 200, 401]
    assert len(pids) > 1
    assert streams == {os.devnull}
    assert code == 0


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=PATIENCE_S).is_success
    except httpx.TransportError:
        return False
