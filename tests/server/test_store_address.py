"""``serve --store``: one option for every kind of store, also for worker processes."""

from __future__ import annotations

import pytest

from tests.support.postgres import postgres_server
from tests.support.processes.command_line import run_process
from tests.support.processes.etcd import shared_etcd, store_name
from tests.support.processes.servers import RundletServer, wait_for


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


def test_database_is_served_by_all_workers(server_options, tmp_path):
    address = postgres_server().url()
    workers = ("--workers", "2") if "granian" in server_options else ()
    arguments = ("--store", address, *server_options, *workers)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        assert server.client.put("/v1/kv/a", content=b"1").status_code == 201
        assert server.client.get("/v1").json()["backend"] == "postgresql"
        assert server.client.get("/readyz").status_code == 200
        assert server.client.get("/v1/history/a").json()["versions"][0]["version"] == 1
        assert run_process("get", "a", "--store", address).out == b"1"
        added = run_process("token", "add", "app", "--scope", "admin", "--store", address)
        wait_for(lambda: server.client.get("/v1/kv/a").status_code == 401)
        allowed = {"Authorization": f"Bearer {added.out.decode().strip()}"}
        assert server.client.get("/v1/kv/a", headers=allowed).content == b"1"
        refused = server.client.post("/v1/backup", headers=allowed)
        assert refused.status_code == 501
        assert "postgresql" in refused.json()["detail"]
        assert "pg_dump" in refused.json()["detail"]

    assert "synced as synchronous_commit of the database says" in server.stderr
    assert "sync=" not in server.stderr


def test_a_server_on_etcd_says_what_syncs(tmp_path):
    address = f"etcd://{shared_etcd()}/{store_name(tmp_path)}"
    with RundletServer("--store", address, stderr_path=tmp_path / "stderr") as server:
        refused = server.client.post("/v1/backup")
        found = run_process("doctor", "--url", server.url)

    assert "synced by most nodes of etcd" in server.stderr
    assert (refused.status_code, "etcdctl snapshot save" in refused.json()["detail"]) == (501, True)
    assert "backend etcd" in found.out.decode()
    assert "sync None" not in found.out.decode()
    ended = run_process("backup", str(tmp_path / "backup"), "--store", address)
    assert (ended.code, "etcdctl snapshot save" in ended.err) == (2, True)


@pytest.mark.parametrize("address", ["mysql://me:s3cret@db/kv"])
def test_backend_that_is_unknown_ends_the_start(address):
    ended = run_process("serve", "--port", "0", "--store", address)

    assert ended.code == 2
    assert "s3cret" not in ended.err
