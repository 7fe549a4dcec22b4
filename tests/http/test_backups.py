"""Test ``/v1/backup``: a lease, its files by range, and its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

GONE = "/problems/backup-gone"


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LogStore]:
    settings = StoreSettings(
        files=UnsyncedFiles(), clock=clock, segment_records_max=4, keep_for_s=0
    )
    opened = open_log_store(tmp_path / "data", settings)
    for number in range(10):
        opened.commit(Txn([Put("a", b"%d" % number)]))
    yield opened
    opened.close()


@pytest.fixture
def client(store: LogStore) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(store))


def test_a_backup_has_files_with_their_hashes(client, store):
    taken = client.simulate_post("/v1/backup")

    assert taken.status_code == 201
    assert taken.headers["Location"] == f"/v1/backup/{taken.json['id']}"
    assert taken.json["revision"] == 10
    assert taken.json["store_id"] == store.info.store_id
    assert {"0000000001.log", "MANIFEST"} <= {file["name"] for file in taken.json["files"]}
    for file in taken.json["files"]:
        answer = client.simulate_get(f"{taken.headers['Location']}/{file['name']}")
        assert len(answer.content) == file["size"]
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        assert answer.headers["ETag"] == f'"{file["sha256"]}"'
        assert answer.headers["Content-Type"] == "application/octet-stream"


def test_a_backup_stays_as_it_is_while_the_store_goes_on(client, store, tmp_path):
    taken = client.simulate_post("/v1/backup")
    for number in range(30):
        store.commit(Txn([Put("a", b"%d" % number)]))
    store.compact(wait=True)
    first = taken.json["files"][0]
    assert not (tmp_path / "data" / first["name"]).exists()

    for file in taken.json["files"]:
        answer = client.simulate_get(f"{taken.headers['Location']}/{file['name']}")

        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]


def test_a_later_backup_begins_with_the_same_bytes(client, store):
    first = client.simulate_post("/v1/backup").json
    store.commit(Txn([Put("b", b"")]))
    second = client.simulate_post("/v1/backup").json

    sizes = {file["name"]: file["size"] for file in second["files"]}
    for file in first["files"]:
        if file["name"] != "MANIFEST":
            path = f"/v1/backup/{second['id']}/{file['name']}"
            begins = f"bytes=0-{file['size'] - 1}"
            answer = client.simulate_get(path, headers={"Range": begins})
            assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
            assert sizes[file["name"]] >= file["size"]


def test_ranges_and_conditions_of_a_file(client):
    taken = client.simulate_post("/v1/backup")
    path = f"{taken.headers['Location']}/MANIFEST"
    whole = client.simulate_get(path)
    tag, size = whole.headers["ETag"], len(whole.content)

    part = client.simulate_get(path, headers={"Range": "bytes=5-8", "If-Range": tag})
    assert (part.status_code, part.content) == (206, whole.content[5:9])
    assert part.headers["Content-Range"] == f"bytes 5-8/{size}"
    other = client.simulate_get(path, headers={"Range": "bytes=5-8", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    beyond = client.simulate_get(path, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416
    assert client.simulate_get(path, headers={"If-None-Match": tag}).status_code == 304
    assert client.simulate_get(path, headers={"If-Match": '"other"'}).status_code == 412
    head = client.simulate_head(path)
    assert (head.headers["ETag"], head.headers["Content-Length"]) == (tag, str(size))


def test_a_released_backup_is_gone(client, tmp_path):
    taken = client.simulate_post("/v1/backup")
    path = taken.headers["Location"]

    assert client.simulate_delete(path).status_code == 204

    for answer in (
        client.simulate_get(path),
        client.simulate_get(f"{path}/MANIFEST"),
        client.simulate_delete(path),
        client.simulate_get("/v1/backup/..%2F..%2Fetc/passwd"),
        client.simulate_get("/v1/backup/other"),
    ):
        assert (answer.status_code, answer.json["type"]) == (410, GONE)
    assert [path.name for path in (tmp_path / "data" / "backups").iterdir()] == ["SHA256"]


def test_a_lease_ends_by_itself_unless_requests_extend_it(client, clock, tmp_path):
    first = client.simulate_post("/v1/backup?lease=10").headers["Location"]
    second = client.simulate_post("/v1/backup?lease=10").headers["Location"]
    clock.advance(9)
    assert client.simulate_get(f"{first}/MANIFEST").status_code == 200
    clock.advance(9)

    assert client.simulate_get(first).status_code == 200
    assert client.simulate_get(second).status_code == 410

    clock.advance(11)
    client.simulate_post("/v1/backup")
    assert client.simulate_get(first).status_code == 410
    assert len(list((tmp_path / "data" / "backups").iterdir())) == 2


def test_all_leases_end_at_once_if_need_be(client, store, tmp_path):
    paths = [client.simulate_post("/v1/backup").headers["Location"] for _ in range(2)]

    store.backups.end_all()

    assert [client.simulate_get(path).status_code for path in paths] == [410, 410]
    assert [path.name for path in (tmp_path / "data" / "backups").iterdir()] == ["SHA256"]


def test_every_process_serves_a_backup(client, store, tmp_path):
    path = client.simulate_post("/v1/backup").headers["Location"]
    other_store = open_log_store(tmp_path / "data", StoreSettings(clock=Clock()))
    other = falcon.testing.TestClient(create_app(other_store))

    assert other.simulate_get(f"{path}/MANIFEST").status_code == 200
    assert other.simulate_delete(path).status_code == 204
    assert client.simulate_get(path).status_code == 410
    other_store.close()


@pytest.mark.parametrize("lease", ["0", "0.5", "-1", "x", "604801"])
def test_a_lease_is_bounded(client, lease):
    assert client.simulate_post(f"/v1/backup?lease={lease}").status_code == 400


@pytest.mark.parametrize("name", ["other", "0000000099.log", "LEASE", "EXPIRES", "..", "%2e%2e"])
def test_what_is_no_file_of_the_backup_is_404(client, name):
    path = client.simulate_post("/v1/backup").headers["Location"]

    answer = client.simulate_get(f"{path}/{name}")

    assert answer.status_code == 404


def test_a_page_cannot_take_a_backup(client):
    refused = client.simulate_post("/v1/backup", headers={"Origin": "https://other.example"})

    assert (refused.status_code, refused.json["type"]) == (403, "/problems/foreign-page")


def test_the_first_backup_of_a_large_store_takes_several_requests(client, tmp_path, monkeypatch):
    monkeypatch.setattr("rundlet_server.functions.routes.backups._WORK_S", 0.0)
    sealed = len(list((tmp_path / "data").glob("*.log"))) - 1
    answers = [client.simulate_post("/v1/backup")]
    while answers[-1].status_code == 503:
        assert len(answers) < sealed, "each request gets further"
        answers.append(client.simulate_post("/v1/backup"))

    assert answers[-1].status_code == 201
    assert len(answers) == sealed > 1
    assert answers[0].json["type"] == "/problems/backup-not-ready"
    assert answers[0].headers["Retry-After"] == "1"


def test_damage_is_told_when_it_is_backed_up(client, tmp_path):
    path = tmp_path / "data" / "0000000001.log"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)

    answer = client.simulate_post("/v1/backup")

    assert (answer.status_code, answer.json["type"]) == (500, "/problems/damaged")
    assert answer.json["file"] == "0000000001.log"
