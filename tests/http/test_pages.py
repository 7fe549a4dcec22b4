"""Test requests by web pages: CORS, the names of the server, and what browsers always allow."""

from __future__ import annotations

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.functions.settings.kinds import is_origin
from rundlet_server.storage.interface import Store
from rundlet_server.storage.tokens.interface import TokenTable
from tests.support.models.model import ModelStore

APP = "https://app.example.org"
OTHER = "https://other.example.org"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}


def client_of(store: Store, **settings: object) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(store, ServerSettings(**settings)))


@pytest.fixture
def store() -> Store:
    return ModelStore()


def cors_headers(answer: falcon.testing.Result) -> dict[str, str]:
    names = [name.lower() for name in answer.headers]
    return {name: answer.headers[name] for name in names if name.startswith("access-control-")}


# --- other origins -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_no_page_is_let_in_by_default(store: Store, method: str):
    headers = {"Origin": APP, **PREFLIGHT}

    answer = client_of(store).simulate_request(method, "/v1/kv/a", headers=headers, body=b"1")

    assert cors_headers(answer) == {}
    assert "Vary" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/kv/a", "/v1/txn", "/v1", "/none"])
def test_preflight_of_a_named_origin_is_answered(store: Store, path: str):
    client = client_of(store, cors_origins=(OTHER, APP))

    answer = client.simulate_options(path, headers={"Origin": APP, **PREFLIGHT})

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert answer.headers["Vary"] == "Origin"
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "if-match", "if-none-match", "range"} <= set(allowed)
    methods = answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert {"GET", "HEAD", "PUT", "POST", "DELETE"} == set(methods)
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", [OTHER, "https://app.example.org:444", "http://app.example.org", "null", APP + "."]
)
def test_other_origins_are_told_nothing(store: Store, origin: str):
    client = client_of(store, cors_origins=(APP,))

    preflight = client.simulate_options("/v1/kv/a", headers={"Origin": origin, **PREFLIGHT})
    answer = client.simulate_get("/v1/kv/a", headers={"Origin": origin})

    assert cors_headers(preflight) == cors_headers(answer) == {}
    assert preflight.headers["Vary"] == answer.headers["Vary"] == "Origin"


def test_page_reads_what_it_needs_of_an_answer(store: Store):
    client = client_of(store, cors_origins=(APP,))

    answer = client.simulate_put("/v1/kv/a", body=b"1", headers={"Origin": APP})

    exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    assert {name.lower() for name in answer.headers if name.lower().startswith("kv-")} < set(
        exposed
    )
    assert {"etag", "link", "request-id", "content-range", "kv-expires"} <= set(exposed)


def test_page_writes_and_reads_metadata(store: Store):
    client = client_of(store, cors_origins=(APP,))
    asked = {**PREFLIGHT, "Access-Control-Request-Headers": "kv-meta-author, x-other, kv-meta-a_b"}

    preflight = client.simulate_options("/v1/kv/a", headers={"Origin": APP, **asked})
    client.simulate_put("/v1/kv/a", body=b"1", headers={"KV-Meta-Author": "x"})
    answer = client.simulate_get("/v1/kv/a", headers={"Origin": APP})

    allowed = preflight.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert "kv-meta-author" in allowed
    assert not {"x-other", "kv-meta-a_b"} & set(allowed)
    exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    assert "kv-meta-author" in exposed


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/kv/a", 404),
        ("GET", "/none", 404),
        ("DELETE", "/v1", 405),
        ("PUT", "/v1/kv/", 400),
    ],
)
def test_errors_can_be_read_by_pages_too(store: Store, method: str, path: str, status: int):
    client = client_of(store, cors_origins=(APP,))

    answer = client.simulate_request(method, path, headers={"Origin": APP})

    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == APP


def test_every_origin_is_let_in_by_a_star(store: Store):
    client = client_of(store, cors_origins=("*",))

    answer = client.simulate_get("/v1", headers={"Origin": OTHER})

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in answer.headers


def test_caches_are_told_that_answers_differ_by_origin(store: Store):
    answer = client_of(store, cors_origins=(APP,)).simulate_get("/v1")

    assert answer.headers["Vary"] == "Origin"
    assert cors_headers(answer) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (APP, True), ("http://localhost:3000", True), ("*", True), ("tauri://localhost", True),
        ("app.example.org", False), (APP + "/", False), ("null", False), ("", False),
        ("https://a b", False), ("https://*.example.org", False),
        ("https://App.example.org", False), (APP + ":8443", True), (APP + ":443", False),
        ("http://a:80", False), ("http://a:443", True), (APP + ":x", False), ("https://u@a", False),
        ("https://ü.example", False), ("http://[::1]:3000", True), ("file://", False),
    ],
)  # fmt: skip
def test_origin_is_told_from_other_text(text: str, expected: bool):
    assert is_origin(text) is expected


# --- what a browser sends without asking ----------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
@pytest.mark.parametrize("path", ["/v1/txn", "/v1/mget"])
def test_form_of_a_page_writes_nothing(store: Store, path: str, content_type: str | None):
    headers = {"Content-Type": content_type} if content_type else {}
    body = b'{"then": [{"op": "put", "key": "a", "text": "b"}], "keys": []}'

    answer = client_of(store).simulate_post(path, body=body, headers=headers)

    assert answer.status_code == 415
    assert store.get("a") is None


def test_page_cannot_ask_for_a_compaction(store: Store):
    client = client_of(store)

    refused = client.simulate_post("/v1/admin/compact", headers={"Origin": OTHER})

    assert (refused.status_code, refused.json["type"]) == (403, "/problems/foreign-page")
    assert client.simulate_post("/v1/admin/compact").status_code == 202


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_dashboard_asks_for_a_compaction(store: Store, scheme: str):
    headers = {"Host": "kv.example.org:8000", "Origin": f"{scheme}://kv.example.org:8000"}

    assert client_of(store).simulate_post("/v1/admin/compact", headers=headers).status_code == 202


@pytest.mark.parametrize("origin", ["null", "http://kv.example.org", "http://evil.example:8000"])
def test_page_that_is_not_of_this_server_asks_for_nothing(store: Store, origin: str):
    headers = {"Host": "kv.example.org:8000", "Origin": origin}

    assert client_of(store).simulate_post("/v1/admin/compact", headers=headers).status_code == 403


# --- names of the server --------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "rundlet", "x",
        "app.localhost", "kv.example.org", "KV.Example.Org:443", "kv.example.org.", "10.0.0.7",
    ],
)  # fmt: skip
def test_own_names_are_answered(store: Store, host: str):
    client = client_of(store, host_names=("127.0.0.1", "kv.example.org"))

    for _ in range(2):
        assert client.simulate_put("/v1/kv/a", body=b"1", headers={"Host": host}).status_code < 300


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
        "kv.example.org.evil.example", "1.2.3.4.5", "[::1].evil.example", "[::1]evil",
        "localhost:x", "localhost:80.evil.example", "localhost@evil.example", "[evil.example]", "[",
        ":80",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/kv/a", "/v1", "/openapi.json"])
def test_foreign_names_are_not(store: Store, host: str, path: str):
    client = client_of(store, host_names=("127.0.0.1", "kv.example.org"))

    for _ in range(2):
        answer = client.simulate_get(path, headers={"Host": host})
        assert (answer.status_code, answer.json["type"]) == (403, "/problems/host-not-allowed")


def test_any_name_will_do_where_none_are_told(store: Store):
    assert client_of(store).simulate_get("/v1", headers={"Host": "evil.example"}).status_code == 200


def test_any_name_will_do_with_tokens(store: Store):
    class NobodyKnown:
        def current(self) -> TokenTable:
            return TokenTable([])

    settings = ServerSettings(host_names=("localhost",), open_without_tokens=False)
    client = falcon.testing.TestClient(create_app(store, settings, tokens=NobodyKnown()))

    answer = client.simulate_get("/v1", headers={"Host": "kv.example.org"})

    assert answer.status_code == 401  # who it is counts, not by which name
