"""Test ``/readyz``: why a server is not ready, and that it recovers by itself."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.access.admission import NO_TOKENS
from rundlet_server.functions.app import create_app
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.readiness import Readiness
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.counting.counters import OperationCounters, SharedCounters
from rundlet_server.storage.errors import DiskFull
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log import health
from rundlet_server.storage.log.write import disk_probe as probe
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S
from tests.support.disks.faulty_files import Call, FaultyFiles
from tests.support.models.model import ModelStore


class Monotonic:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_ready_has_no_reasons():
    answer = falcon.testing.TestClient(create_app(ModelStore())).simulate_get("/readyz")

    assert answer.status_code == 200
    assert answer.json == {"status": "ready", "ready": True, "reasons": []}


def test_full_disk_is_told_and_goes_away_without_any_write(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_EVERY_S", 0.0)
    is_full = False

    def failing(_count: int, call: Call) -> OSError | None:
        is_refused = is_full and call.name == "pwrite"
        return OSError(errno.ENOSPC, "No space left on device") if is_refused else None

    settings = StoreSettings(files=FaultyFiles(failing))
    opened = open_log_store(tmp_path / "data", settings)
    api = falcon.testing.TestClient(create_app(opened))
    is_full = True
    with pytest.raises(DiskFull):
        opened.commit(Txn([Put("a", b"1")]))

    refused = [api.simulate_get("/readyz") for _ in range(3)]
    is_full = False
    ready = api.simulate_get("/readyz")
    opened.close()

    assert {answer.status_code for answer in refused} == {503}
    assert refused[0].json["reasons"] == ["writes are refused: No space left on device"]
    assert refused[0].headers["Retry-After"] == "1"
    assert ready.status_code == 200
    assert list((tmp_path / "data").glob("PROBE*")) == []


def test_disk_is_tried_at_most_once_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_EVERY_S", PATIENCE_S)  # these may take a second

    def failing(_count: int, call: Call) -> OSError | None:
        return OSError(errno.EIO, "broken") if call.name == "pwrite" else None

    files = FaultyFiles(failing)
    disk = probe.DiskProbe(files, tmp_path)

    answers = {disk.succeeds() for _ in range(100)}

    assert answers == {False}
    assert [call.name for call in files.failed] == ["pwrite"]


def test_probe_that_succeeded_does_not_vouch_for_the_next_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_EVERY_S", PATIENCE_S)
    disk = probe.DiskProbe(FaultyFiles(), tmp_path)

    assert [disk.succeeds(), disk.succeeds()] == [True, False]


def test_nearly_full_disk_is_told_before_a_write_fails(tmp_path, monkeypatch):
    opened = open_log_store(tmp_path / "data")
    settings = ServerSettings(data_path=tmp_path / "data")
    api = falcon.testing.TestClient(create_app(opened, settings))
    assert api.simulate_get("/readyz").status_code == 200
    monkeypatch.setattr(health, "DISK_FREE_BYTES_MIN", 2**62)

    answer = api.simulate_get("/readyz")
    opened.close()

    assert answer.status_code == 503
    assert answer.json["reasons"][0].startswith("the disk is full: ")


def test_file_system_that_does_not_count_its_space_is_not_full(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([0] * 11))
    opened = open_log_store(tmp_path / "data")
    opened.commit(Txn([Put("a", b"1")]))
    api = falcon.testing.TestClient(create_app(opened))

    answer = api.simulate_get("/readyz")
    metrics = api.simulate_get("/metrics").text
    opened.close()

    assert answer.status_code == 200
    assert "rundlet_disk_free_bytes" not in metrics


def test_store_that_only_reads_needs_no_space_and_no_maintenance(tmp_path, monkeypatch):
    monkeypatch.setattr(health, "DISK_FREE_BYTES_MIN", 2**62)
    open_log_store(tmp_path / "data").close()
    opened = open_log_store(tmp_path / "data", StoreSettings(is_read_only=True))
    settings = ServerSettings(data_path=tmp_path / "data", maintain_inline=False)
    api = falcon.testing.TestClient(create_app(opened, settings))

    answer = api.simulate_get("/readyz")
    opened.close()

    assert answer.status_code == 200


def test_maintenance_process_that_stays_away_is_told(tmp_path: Path):
    clock = Monotonic()
    counters = OperationCounters(SharedCounters(tmp_path / "counters"))
    counted = CountedStore(ModelStore(), counters)
    watched = Readiness(counted, NO_TOKENS, is_maintained=True, monotonic_s=clock)

    assert watched.health().reasons == []  # it may be starting
    clock.now_s += 60
    (reason,) = watched.health().reasons
    assert reason.startswith("the maintenance process is not running")
    maintenance = SharedCounters(tmp_path / "counters", "maintenance")
    assert watched.health().reasons == []
    del maintenance
    clock.now_s += 5
    assert watched.health().reasons == []  # it is being started again
    clock.now_s += 60
    assert watched.health().reasons != []


def test_too_many_segments_without_index_files_are_told(tmp_path, monkeypatch):
    settings = StoreSettings(sync="never", segment_records_max=1, maintain_inline=False)
    opened = open_log_store(tmp_path / "data", settings)
    for number in range(4):
        opened.commit(Txn([Put(str(number), b"")]))
    assert opened.health().reasons == []
    monkeypatch.setattr(health, "BACKLOG_MAX_MAINTAINED", 2)

    (problem,) = opened.health().reasons
    opened.close()

    assert problem.startswith("3 full segments wait for their index files, more than the 2")


def test_audit_trail_whose_folder_is_gone_goes_to_stderr_with_a_warning(tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()
    tokens = TokenFile(tmp_path / "data")
    _, secret = tokens.add("ops", "admin")
    settings = ServerSettings(audit_path=folder / "audit")
    api = falcon.testing.TestClient(create_app(ModelStore(), settings, tokens=tokens.watch()))
    headers = {"Authorization": f"Bearer {secret}"}
    before = api.simulate_get("/readyz").json
    shutil.rmtree(folder)

    unwritten = api.simulate_get("/readyz")
    for key in ("a", "b"):
        assert api.simulate_put(f"/v1/kv/{key}", headers=headers, body=b"1").status_code == 201
    metrics = api.simulate_get("/metrics", headers=headers).text
    lines = capsys.readouterr().err.splitlines()
    folder.mkdir()
    api.simulate_put("/v1/kv/c", headers=headers, body=b"1")
    after = api.simulate_get("/readyz").json

    assert "warnings" not in before
    assert unwritten.status_code == 200
    (warning,) = unwritten.json["warnings"]
    assert "audit trail" in warning
    assert str(folder / "audit") in warning
    assert "cannot be written: No such file or directory" in lines[0]
    assert [json.loads(line)["path"] for line in lines[1:]] == ["/v1/kv/a", "/v1/kv/b"]
    assert "\nrundlet_audit_failures_total 2\n" in metrics
    assert json.loads((folder / "audit").read_text())["path"] == "/v1/kv/c"
    assert "warnings" not in after
