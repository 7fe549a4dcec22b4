"""Test that every error is answered as problem+json."""

from __future__ import annotations

import ast
import re

import falcon
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.problems import Problem
from rundlet_server.storage import errors
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.watch import TokenWatch
from tests.support import ROOT
from tests.support.models.model import ModelStore

CLIENT_OPTIONS = re.compile(r"--(token|url|prefix)\b")
ALWAYS = {"type", "title", "status", "detail", "request_id"}


class FailingStore(ModelStore):
    """A model whose reads fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def get(self, key: str, *, at: int | None = None) -> Entry | None:  # noqa: ARG002 - it fails
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "name", "members"),
    [
        (errors.InvalidKey("empty"), 400, "bad-key", {}),
        (errors.InvalidRequest("no"), 400, "bad-request", {}),
        (errors.InvalidOperation(3, "why"), 422, "bad-operation", {"index": 3}),
        (errors.LimitExceeded("key_bytes_max", 1, 2), 414, "key-too-long", {"limit": 1, "got": 2}),
        (errors.LimitExceeded("value_bytes_max", 1, 2), 413, "too-large", {"limit": 1, "got": 2}),
        (errors.Conflict((errors.FailedCondition(0, "k", 7),)), 409, "txn-conflict",
         {"failed": [{"index": 0, "key": "k", "revision": 7}]}),
        (errors.Compacted(5), 410, "compacted", {"oldest_revision": 5}),
        (errors.Compacted(5, 1_500_000), 410, "compacted",
         {"oldest_revision": 5, "oldest_time": "1970-01-01T00:00:01.500000Z"}),
        (errors.ReadOnly("no"), 403, "read-only", {}),
        (errors.Unavailable("busy"), 503, "unavailable", {}),
        (errors.DiskFull("full"), 507, "disk-full", {}),
        (errors.OutcomeUnknown("who knows"), 504, "outcome-unknown", {}),
        (errors.NotSupported("log", "history"), 501, "not-supported",
         {"backend": "log", "feature": "history"}),
        (errors.Damaged("/data/1.log", 12, "bad"), 500, "damaged", {"file": "1.log", "offset": 12}),
        (errors.UnknownFormat("version 9"), 500, "unknown-format", {}),
        (errors.OpenedBeforeFork(), 500, "store-error", {}),
        (errors.StoreError("else"), 500, "store-error", {}),
        (ZeroDivisionError("secret"), 500, "internal", {}),
        (falcon.HTTPUnsupportedMediaType(), 415, "unsupported-media-type", {}),
    ],
)  # fmt: skip
def test_error_is_answered(error: Exception, status: int, name: str, members: dict[str, object]):
    api = falcon.testing.TestClient(create_app(FailingStore(error)))

    answer = api.simulate_get("/v1/kv/a")

    body = answer.json
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body.keys() >= ALWAYS
    assert body["type"] == f"/problems/{name}"
    assert body["status"] == status
    assert body["request_id"] == answer.headers["Request-Id"]
    assert {member: body[member] for member in members} == members
    assert ("Retry-After" in answer.headers) == (status in (503, 507))


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (400, "Bad Request"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (431, "Request Header Fields Too Large"),
    ],
)
def test_titles_are_those_of_the_current_standard(status: int, title: str):
    api = falcon.testing.TestClient(create_app(FailingStore(Problem(status, "x", "why"))))

    answer = api.simulate_get("/v1/kv/a")

    assert answer.json["title"] == title
    assert answer.status == f"{status} {title}"


@pytest.mark.parametrize(
    ("headers", "module"), [({}, "plain/gets.py"), ({"Range": "bytes=0-1"}, "routes/values.py")]
)
def test_unexpected_error_is_logged_and_not_shown(
    capsys: pytest.CaptureFixture[str], headers: dict[str, str], module: str
):
    api = falcon.testing.TestClient(create_app(FailingStore(ZeroDivisionError("secret"))))

    answer = api.simulate_get("/v1/kv/a", headers=headers)

    logged = capsys.readouterr().err
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.json["request_id"] in logged
    assert "ZeroDivisionError" in logged
    assert f"functions/{module}" in logged
    assert "secret" not in logged


def test_damage_names_file_and_offset_without_a_traceback(capsys: pytest.CaptureFixture[str]):
    error = errors.Damaged("/data/0000000012.log", 4096, "checksum does not fit")
    api = falcon.testing.TestClient(create_app(FailingStore(error)))

    answer = api.simulate_get("/v1/kv/a")

    assert "0000000012.log" in answer.json["detail"]
    assert "4096" in answer.json["detail"]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_request_ids_differ(api):
    ids = {api.simulate_get("/nowhere").headers["Request-Id"] for _ in range(5)}

    assert len(ids) == 5


def test_head_of_an_error_has_no_body(api):
    answer = api.simulate_head("/v1/kv/nothing")

    assert answer.content == b""
    assert answer.headers["Request-Id"]


def test_no_error_speaks_of_options_that_a_client_over_http_does_not_have():
    for path in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not CLIENT_OPTIONS.search(node.value), f"{path}:{node.lineno}"


def test_refusals_for_want_of_a_token_name_the_header(tmp_path):
    file = TokenFile(tmp_path)
    file.add("app", "read")
    api = falcon.testing.TestClient(create_app(ModelStore(), tokens=TokenWatch(tmp_path)))

    answer = api.simulate_get("/v1/kv/a")

    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json["detail"]
