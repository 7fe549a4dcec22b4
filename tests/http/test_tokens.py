"""Test /v1/tokens: create, list and revoke over HTTP."""

from __future__ import annotations

from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.watch import TokenWatch
from tests.support.models.model import ModelStore


class Server:
    """The functions with the tokens of a folder."""

    def __init__(self, folder: Path, settings: ServerSettings | None = None) -> None:
        self.file = TokenFile(folder)
        settings = settings or ServerSettings(audit_path=folder / "audit")
        watch = TokenWatch(folder)
        app = create_app(ModelStore(), settings, tokens=watch, token_store=self.file)
        self.client = falcon.testing.TestClient(app)

    def ask(self, method: str, path: str, body: object = None, secret: str | None = None):
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return self.client.simulate_request(method, path, json=body, headers=headers)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_first_token_turns_authentication_on_and_is_shown_once(server: Server):
    made = server.ask("POST", "/v1/tokens", {"name": "ops", "scope": "admin"})
    secret = made.json["token"]
    second = server.ask("POST", "/v1/tokens", {"name": "app"}, secret)

    assert made.status_code == second.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json["turned_authentication_on"] is True
    assert second.json["turned_authentication_on"] is False
    assert server.ask("GET", "/v1").status_code == 401
    listed = server.ask("GET", "/v1/tokens", None, secret)
    assert [token["name"] for token in listed.json["tokens"]] == ["ops", "app"]
    assert secret not in listed.text
    assert second.json["token"] not in listed.text


def test_token_has_what_was_asked(server: Server):
    body = {"name": "a b/ü", "scope": "write", "prefix": "app/", "expires": "2999-01-31T12:00:00Z"}

    made = server.ask("POST", "/v1/tokens", body).json

    assert {**made, **body, "expires": "2999-01-31T12:00:00.000000Z"} == made
    [kept] = server.file.read()
    assert (kept.name, kept.scope, kept.prefix) == ("a b/ü", "write", "app/")


@pytest.mark.parametrize("by", ["name", "id"])
def test_token_is_revoked_by_name_or_id(server: Server, by: str):
    server.ask("POST", "/v1/tokens", {"name": "a b/ü", "scope": "admin"})
    token, secret = server.file.add("ops", "admin")
    name = "a%20b%2F%C3%BC" if by == "name" else server.file.read()[0].token_id

    revoked = server.ask("DELETE", f"/v1/tokens/{name}", None, secret)

    assert (revoked.status_code, revoked.content) == (204, b"")
    assert [left.token_id for left in server.file.read()] == [token.token_id]
    assert server.ask("DELETE", f"/v1/tokens/{name}", None, secret).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({}, 422, "bad-members"),
        ({"name": ""}, 422, "bad-members"),
        ({"name": "a\nb"}, 400, "bad-request"),
        ({"name": "x" * 65}, 422, "bad-members"),
        ({"name": "a", "scope": "root"}, 422, "bad-members"),
        ({"name": "a", "expires": "tomorrow"}, 422, "bad-members"),
        ({"name": "a", "expires": "2999-02-31T12:00:00Z"}, 422, "bad-members"),
        ({"name": "a", "expires": "1999-01-31T12:00:00Z"}, 400, "bad-request"),
        ({"name": "a", "more": 1}, 422, "bad-members"),
        ({"name": "taken"}, 400, "bad-request"),
    ],
)
def test_bad_token_is_not_created(server: Server, body: object, status: int, problem: str):
    _, secret = server.file.add("taken", "admin")

    refused = server.ask("POST", "/v1/tokens", body, secret)

    assert refused.status_code == status, refused.json
    assert refused.json["type"] == f"/problems/{problem}"
    assert len(server.file.read()) == 1


def test_read_only_server_changes_no_token(tmp_path: Path):
    settings = ServerSettings(read_only=True, audit_path=tmp_path / "audit")
    server = Server(tmp_path, settings)

    refused = server.ask("POST", "/v1/tokens", {"name": "a"})

    assert (refused.status_code, refused.json["type"]) == (403, "/problems/read-only")
    assert server.ask("GET", "/v1/tokens").json == {"tokens": []}


def test_store_without_a_place_for_tokens_says_so():
    client = falcon.testing.TestClient(create_app(ModelStore()))

    for method in ("GET", "POST"):
        refused = client.simulate_request(method, "/v1/tokens", json={"name": "a"})
        assert (refused.status_code, refused.json["type"]) == (501, "/problems/not-supported")
        assert "--tokens" in refused.json["detail"]
