"""``serve --store``: one option for every kind of store, also for worker processes."""

from __future__ import annotations

import pytest

from tests.support.processes.command_line import run_process
from tests.support.processes.servers import RundletServer


@pytest.fixture(params=["waitress", "granian"])
def server_options(request):
    if request.param == "granian":
        pytest.importorskip("granian")
    return ("--server", request.param)


def test_folder_is_served_with_its_maintenance_process(server_options, tmp_path):
    arguments = ("--store", f"{tmp_path}/data", *server_options)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        assert server.client.put("/v1/kv/a", content=b"1").status_code == 201
        assert server.client.get("/v1").json()["backend"] == "log"
        assert server.client.get("/readyz").status_code == 200

    assert run_process("get", "a", "--data", str(tmp_path / "data")).out == b"1"


def test_text_file_is_served_read_only(server_options, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("ant small\nbee yellow\n")
    arguments = ("--store", f"file:{path}", "--any-key", *server_options)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        assert server.client.get("/v1/kv/bee").content == b"yellow"
        assert server.client.put("/v1/kv/bee", content=b"1").status_code == 403
        assert server.client.get("/v1").json()["read_only"] is True
        assert server.client.get("/readyz").status_code == 200
        assert run_process("get", "ant", "--store", f"file:{path}").out == b"small"

    assert "words.txt" in (tmp_path / "stderr").read_text()
    assert "read-only)" in (tmp_path / "stderr").read_text()


def test_store_in_memory_goes_with_the_server(server_options, tmp_path):
    arguments = ("--store", "memory", *server_options)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        assert server.client.put("/v1/kv/a", content=b"1").status_code == 201

    assert "serving in memory" in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("address", ["etcd://me:s3cret@h1:2379/NAME"])
def test_backend_that_is_missing_ends_the_start(address):
    ended = run_process("serve", "--port", "0", "--store", address)

    assert ended.code == 2
    assert "is not available in this release" in ended.err
    assert "s3cret" not in ended.err
