"""An answer that cannot be made, as for want of memory, has only the headers of a problem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages import sending
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.interface import Page, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

LARGE = bytes(2 * 1024 * 1024)
OF_PROBLEMS = {
    *("content-type", "content-length", "cache-control", "retry-after", "vary"),
    *("request-id", "x-content-type-options"),
}
IDEMPOTENT = {"Idempotency-Key": '"once"'}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    for number in range(3):
        store.commit(Txn([Put(f"k{number}", b"x"), Put("large", LARGE)]))
    yield store
    store.close()


@pytest.fixture
def api(store: Store) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(store))


@pytest.fixture
def _refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer fit into memory, and every answer count."""

    def moved(_gate: sending.SendingGate, before: int, after: int) -> int | None:
        return 1 if after > before else None

    monkeypatch.setattr(sending, "LARGE_ANSWER_BYTES", 0)
    monkeypatch.setattr(sending.SendingGate, "_moved", moved)


def require_bare(answer: falcon.testing.Result, problem: str = "too-many-answers") -> None:
    assert answer.status_code == 503
    assert answer.json["type"] == f"/problems/{problem}"
    assert {name.lower() for name in answer.headers} <= OF_PROBLEMS


@pytest.mark.usefixtures("_refuses")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/kv/large",
        "/v1/keys?limit=1",
        "/v1/keys?limit=1&include=value",
        "/v1/history/large?limit=1",
        "/v1/diff?from=0&limit=1",
        "/v1/changes?since=0",
    ],
)
def test_refused_read_has_no_headers_of_the_answer(api: falcon.testing.TestClient, path: str):
    require_bare(api.simulate_get(path, headers={"Range": "bytes=0-9"}))


@pytest.mark.usefixtures("_refuses")
def test_refused_mget_has_no_headers_of_the_answer(api: falcon.testing.TestClient):
    require_bare(api.simulate_post("/v1/mget", json={"keys": ["k0", "large"]}))


@pytest.mark.usefixtures("_refuses")
def test_refused_file_of_a_backup_has_no_headers_of_the_file(api: falcon.testing.TestClient):
    backup = api.simulate_post("/v1/backup").json
    path = f"/v1/backup/{backup['id']}/{backup['files'][-1]['name']}"

    require_bare(api.simulate_get(path, headers={"Range": "bytes=0-9"}))


def test_refused_rollback_is_not_marked_as_a_replay(
    api: falcon.testing.TestClient, request: pytest.FixtureRequest
):
    asked = {"to": 2, "prefix": ""}
    assert api.simulate_post("/v1/rollback", json=asked, headers=IDEMPOTENT).status_code == 200
    request.getfixturevalue("_refuses")

    require_bare(api.simulate_post("/v1/rollback", json=asked, headers=IDEMPOTENT))


def test_export_that_fails_at_its_first_piece_has_no_headers_of_the_export(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    scan_now = store.scan

    def scan(*, include_values: bool = False, **options: Any) -> Page:
        if include_values:
            raise Unavailable("the store is away")
        return scan_now(**options)

    monkeypatch.setattr(store, "scan", scan)
    api = falcon.testing.TestClient(create_app(store))

    require_bare(api.simulate_get("/v1/export"), "unavailable")
