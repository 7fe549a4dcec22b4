"""Test tokens at the API: every route, every scope, inside and outside a prefix."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.route_table import METHODS, ROUTES, Route
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.format import FILE_NAME
from rundlet_server.storage.tokens.interface import Scope, TokenTable
from rundlet_server.storage.tokens.watch import TokenWatch
from tests.support.models.model import FEATURES, Clock, ModelStore

READS = ("GET", "HEAD")
SCOPES: tuple[Scope, ...] = get_args(Scope)
ID = "0" * 32
OWN_TOKEN = "/v1/tokens/app"
PART_OF_THE_DASHBOARD = "/ui/static/build/core/dom.js"
REQUESTS = [
    *((m, t, None, None) for t in ("/", "/livez", "/readyz", "/openapi.json") for m in READS),
    *((m, t, None, None) for t in ("/ui/", "/ui", PART_OF_THE_DASHBOARD) for m in READS),
    *((m, t, None, "read") for t in ("/v1", "/v1/stats", "/metrics") for m in READS),
    *((m, t, None, "read") for t in ("/v1/kv/app/1", "/v1/kv64/YXBwLzE") for m in READS),
    ("GET", "/v1/keys?prefix=app/", None, "read"),
    ("HEAD", "/v1/keys?prefix=app/", None, "read"),
    ("DELETE", "/v1/keys?prefix=app/&expect=1", None, "write"),
    ("POST", "/v1/mget", {"keys": ["app/1"]}, "read"),
    ("PUT", "/v1/kv/app/1", None, "write"),
    ("PUT", "/v1/kv64/YXBwLzE", None, "write"),
    ("DELETE", "/v1/kv/app/1", None, "write"),
    ("DELETE", "/v1/kv64/YXBwLzE", None, "write"),
    ("POST", "/v1/txn", {"then": [{"op": "put", "key": "app/1", "text": "x"}]}, "write"),
    *(("GET", f"/v1/{t}", None, "read") for t in ("history/app/1", "history64/YXBwLzE")),
    *(("DELETE", f"/v1/{t}", None, "admin") for t in ("history/app/1", "history64/YXBwLzE")),
    ("GET", "/v1/diff?from=1&prefix=app/", None, "read"),
    ("GET", "/v1/changes?since=1&prefix=app/", None, "read"),
    ("POST", "/v1/rollback", {"prefix": "app/", "to": 1}, "write"),
    ("GET", "/v1/export?prefix=app/", None, "read"),
    ("POST", "/v1/import?format=jsonl", {"key": "app/1", "text": "x"}, "write"),
    ("POST", "/v1/admin/compact", None, "admin"),
    ("GET", "/v1/admin/retention", None, "admin"),
    ("PUT", "/v1/admin/retention", {"keep_versions": 3, "keep_for_s": 60}, "admin"),
    *((method, "/v1/tokens", None, "admin") for method in READS),
    ("POST", "/v1/tokens", {"name": "new"}, "admin"),
    ("DELETE", OWN_TOKEN, None, "admin"),
    ("POST", "/v1/backup", None, "admin"),
    *((method, f"/v1/backup/{ID}", None, "admin") for method in (*READS, "DELETE")),
    *((method, f"/v1/backup/{ID}/MANIFEST", None, "admin") for method in READS),
]
OUTSIDE = [
    ("GET", "/v1/kv/other", None),
    ("GET", "/v1/kv/missing", None),
    ("HEAD", "/v1/kv/other", None),
    *((method, "/v1/kv64/b3RoZXI", None) for method in ("GET", "HEAD", "PUT", "DELETE")),
    ("PUT", "/v1/kv/other", None),
    ("DELETE", "/v1/kv/other", None),
    ("DELETE", "/v1/kv/missing", None),
    ("GET", "/v1/keys?prefix=other", None),
    ("HEAD", "/v1/keys?prefix=other", None),
    ("DELETE", "/v1/keys?prefix=other&expect=1", None),
    ("POST", "/v1/mget", {"keys": ["app/1", "other"]}),
    ("POST", "/v1/mget", {"keys": ["missing"]}),
    ("POST", "/v1/txn", {"then": [{"op": "put", "key": "other", "text": "x"}]}),
    ("POST", "/v1/txn", {"then": [{"op": "delete", "key": "other"}]}),
    ("POST", "/v1/txn", {"then": [{"op": "add", "key": "other"}]}),
    ("POST", "/v1/txn", {"then": [{"op": "touch", "key": "other"}]}),
    ("POST", "/v1/txn", {"then": [{"op": "restore", "key": "other", "version": 1}]}),
    ("POST", "/v1/txn", {"if": [{"key": "other", "exists": False}], "then": []}),
    ("POST", "/v1/txn", {"then": [], "else": [{"op": "delete", "key": "other"}]}),
    *((method, target, None) for target in ("/v1/stats", "/metrics") for method in READS),
    *(("GET", f"/v1/history/{key}", None) for key in ("other", "missing")),
    *((method, "/v1/history64/b3RoZXI", None) for method in ("GET", "DELETE")),
    ("DELETE", "/v1/history/other", None),
    ("GET", "/v1/diff?from=1&prefix=other", None),
    ("GET", "/v1/changes?since=1&prefix=other", None),
    ("POST", "/v1/rollback", {"prefix": "", "to": 1}),
    ("POST", "/v1/rollback", {"keys": ["app/1", "other"], "to": 0, "dry_run": True}),
    ("GET", "/v1/export?prefix=other", None),
    ("POST", "/v1/import?format=jsonl", {"key": "other", "text": "x"}),
    ("POST", "/v1/admin/compact", None),
    ("GET", "/v1/admin/retention", None),
    ("PUT", "/v1/admin/retention", {"keep_versions": 3, "keep_for_s": 60}),
    *((method, "/v1/tokens", None) for method in READS),
    ("POST", "/v1/tokens", {"name": "new"}),
    ("DELETE", OWN_TOKEN, None),
    ("POST", "/v1/backup", None),
    *((method, f"/v1/backup/{ID}", None) for method in (*READS, "DELETE")),
    *((method, f"/v1/backup/{ID}/MANIFEST", None) for method in READS),
]


class Guarded:
    """The functions over a store with some keys, and the tokens of a folder."""

    def __init__(self, folder: Path, *, is_open: bool = True) -> None:
        self.clock = Clock()
        self.store = ModelStore(self.clock, features=FEATURES | {"backup"})
        self.store.backups.hold(ID)
        self.store.commit(Txn([Put("app/1", b"1"), Put("app/2", b"2"), Put("other", b"x")]))
        self.store.commit(Txn([Delete("app/2")]))
        self.file = TokenFile(folder, clock=self.clock)
        self.audit_path = folder / "audit"
        self.counters = OperationCounters()
        settings = ServerSettings(open_without_tokens=is_open, audit_path=self.audit_path)
        watch = TokenWatch(folder)
        app = create_app(self.store, settings, self.counters, watch, token_store=self.file)
        self.client = falcon.testing.TestClient(app)

    def ask(
        self, method: str, target: str, body: object = None, secret: str | None = None
    ) -> falcon.testing.Result:
        path, _, query = target.partition("?")
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        sent = json.dumps(body) if body is not None else ("v" if method == "PUT" else None)
        return self.client.simulate_request(
            method, path, query_string=query, headers=headers, body=sent
        )

    def audit(self) -> list[dict]:
        return [json.loads(line) for line in self.audit_path.read_text().splitlines()]


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path)


@pytest.mark.parametrize(("method", "target", "body", "needed"), REQUESTS)
def test_without_any_token_everybody_may_do_everything(
    guarded: Guarded, method: str, target: str, body: object, needed: Scope | None
):
    status = guarded.ask(method, target, body).status_code

    assert status < 400 or (target, status) == (OWN_TOKEN, 404)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "target", "body", "needed"), REQUESTS)
def test_scope_decides_what_a_token_may_do(
    guarded: Guarded, *, method: str, target: str, body: object, needed: Scope | None, scope: Scope
):
    _, secret = guarded.file.add("app", scope)

    answer = guarded.ask(method, target, body, secret)

    is_enough = needed is None or SCOPES.index(scope) >= SCOPES.index(needed)
    assert (answer.status_code < 400) == is_enough
    if not is_enough:
        assert answer.status_code == 403
        assert method == "HEAD" or answer.json["type"] == "/problems/forbidden"


@pytest.mark.parametrize(("method", "target", "body", "needed"), REQUESTS)
@pytest.mark.parametrize("secret", [None, "wrong", "rundlet_00000000_x", ""])
def test_without_a_right_token_nothing_but_open_routes_answers(
    guarded: Guarded,
    *,
    method: str,
    target: str,
    body: object,
    needed: Scope | None,
    secret: str | None,
):
    guarded.file.add("app", "admin")

    answer = guarded.ask(method, target, body, secret)

    if needed is None:
        assert answer.status_code == (307 if target == "/ui" else 200)
    else:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert guarded.store.get("app/1").value == b"1"


@pytest.mark.parametrize(("method", "target", "body"), OUTSIDE)
@pytest.mark.parametrize("scope", SCOPES)
def test_outside_its_prefix_a_token_may_do_nothing(
    guarded: Guarded, method: str, target: str, body: object, scope: Scope
):
    _, secret = guarded.file.add("app", scope, prefix="app/")
    before = guarded.store.scan(include_values=True)

    answer = guarded.ask(method, target, body, secret)

    assert answer.status_code == 403
    assert guarded.store.scan(include_values=True) == before


def test_prefix_narrows_an_export_and_ends_an_import_at_the_first_key_outside(guarded: Guarded):
    _, secret = guarded.file.add("app", "write", prefix="app/")
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/jsonl"}
    keys = ("app/7", "other", "app/8")

    exported = guarded.ask("GET", "/v1/export", None, secret)
    body = "".join(json.dumps({"key": key, "text": "x"}) + "\n" for key in keys)
    refused = guarded.client.simulate_post("/v1/import", headers=headers, body=body)

    assert [json.loads(line)["key"] for line in exported.text.splitlines()] == ["app/1"]
    assert refused.status_code == 403
    assert (refused.json["line"], refused.json["imported"]) == (2, 1)
    assert [e is not None for e in guarded.store.get_many(keys).entries] == [True, True, False]
    assert guarded.store.get("other").value == b"x"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_refusal_tells_not_whether_a_key_exists(guarded: Guarded, method: str):
    _, secret = guarded.file.add("app", "write", prefix="app/")

    answers = [guarded.ask(method, f"/v1/kv/{key}", None, secret) for key in ("other", "none")]

    assert answers[0].status == answers[1].status
    if method != "HEAD":
        assert [answer.json["detail"] for answer in answers] == [answers[0].json["detail"]] * 2


@pytest.mark.parametrize("query", ["", "?prefix=", "?prefix=a", "?start=b", "?end=zzz", "?reverse"])
def test_list_shows_only_what_the_token_is_for(guarded: Guarded, query: str):
    _, secret = guarded.file.add("app", "read", prefix="app/")

    answer = guarded.ask("GET", f"/v1/keys{query}", None, secret)

    assert {item["key"] for item in answer.json["keys"]} <= {"app/1"}
    assert answer.json["prefixes"] == []


def test_cursor_of_another_list_does_not_lead_outside(guarded: Guarded):
    guarded.store.commit(Txn([Put(f"{name}{i}", b"") for name in ("a", "z") for i in range(3)]))
    _, whole = guarded.file.add("all", "read")
    _, secret = guarded.file.add("app", "read", prefix="app/")
    for query in ("limit=1", "limit=1&reverse=true", "limit=1&delimiter=/"):
        cursor = guarded.ask("GET", f"/v1/keys?{query}", None, whole).json["next"]

        answer = guarded.ask("GET", f"{cursor}&prefix=app/", None, secret)

        assert {item["key"] for item in answer.json["keys"]} <= {"app/1"}


def test_head_of_a_list_counts_only_what_the_token_is_for(guarded: Guarded):
    _, secret = guarded.file.add("app", "read", prefix="app/")

    assert guarded.ask("HEAD", "/v1/keys", None, secret).headers["KV-Count"] == "1"


def test_expired_token_lets_nobody_in(tmp_path: Path):
    file = TokenFile(tmp_path, clock=lambda: 0)
    _, secret = file.add("app", "admin", expires_us=1_000_000)
    guarded = Guarded(tmp_path)

    answer = guarded.ask("GET", "/v1/kv/app/1", None, secret)

    assert answer.status_code == 401
    assert "expired" in answer.json["detail"]


def test_token_that_was_taken_back_lets_nobody_in(guarded: Guarded):
    guarded.file.add("other", "read")
    _, secret = guarded.file.add("app", "read")
    before = guarded.ask("GET", "/v1/kv/app/1", None, secret).status_code
    guarded.file.remove("app")

    assert before == 200
    assert guarded.ask("GET", "/v1/kv/app/1", None, secret).status_code == 401


@pytest.mark.parametrize(("is_open", "status"), [(True, 200), (False, 401)])
def test_without_its_last_token_a_reachable_server_stays_closed(
    tmp_path: Path, is_open: bool, status: int
):
    guarded = Guarded(tmp_path, is_open=is_open)
    guarded.file.add("app", "read")
    guarded.file.remove("app")

    assert guarded.ask("GET", "/v1/kv/app/1").status_code == status


class AwayTokens:
    """Tokens in a database that does not answer."""

    def current(self) -> TokenTable:
        raise Unavailable("connection to server at 10.1.2.3 failed")


def test_tokens_that_cannot_be_read_now_are_no_damage():
    tokens = AwayTokens()
    app = create_app(ModelStore(Clock()), ServerSettings(), OperationCounters(), tokens)
    client = falcon.testing.TestClient(app)

    answer = client.simulate_get("/v1/kv/app/1")

    assert (answer.status_code, answer.json["type"]) == (503, "/problems/unavailable")
    assert "10.1.2.3" not in answer.text
    assert client.simulate_get("/livez").status_code == 200
    assert "tokens" in client.simulate_get("/readyz").json["reasons"][0]


def test_damaged_tokens_close_all_but_the_open_routes(tmp_path: Path):
    (tmp_path / FILE_NAME).write_bytes(b"garbage")
    file = tmp_path / "good"
    guarded = Guarded(file)
    (file / FILE_NAME).write_bytes(b"garbage")
    guarded.file._folder.joinpath("TOKENS.changes").write_bytes(b"\x01" * 4_096)

    answer = guarded.ask("GET", "/v1/kv/app/1")

    assert answer.status_code == 503
    assert answer.json["type"] == "/problems/tokens-damaged"
    assert str(tmp_path) not in answer.text
    assert guarded.ask("GET", "/livez").status_code == 200
    ready = guarded.ask("GET", "/readyz")
    assert (ready.status_code, len(ready.json["reasons"])) == (503, 1)


@pytest.mark.parametrize(
    "header", ["{}", "Basic {}", "bearer{}", "Bearer", "Token {}", "Bearer {} {}"]
)
def test_other_spellings_of_the_header_let_nobody_in(guarded: Guarded, header: str):
    _, secret = guarded.file.add("app", "read")
    headers = {"Authorization": header.format(secret, secret)}

    answer = guarded.client.simulate_get("/v1/kv/app/1", headers=headers)

    assert answer.status_code == 401


def test_scheme_is_known_in_any_case(guarded: Guarded):
    _, secret = guarded.file.add("app", "read")
    headers = {"Authorization": f"bEaReR {secret}"}

    assert guarded.client.simulate_get("/v1/kv/app/1", headers=headers).status_code == 200


def test_unknown_route_is_404_for_everybody(guarded: Guarded):
    guarded.file.add("app", "read")

    assert guarded.ask("GET", "/v1/nothing").status_code == 404


def test_preflight_needs_no_token(guarded: Guarded):
    guarded.file.add("app", "read")

    assert guarded.ask("OPTIONS", "/v1/kv/app/1").status_code == 200


def route_of(target: str) -> Route:
    """The route that a target of the lists above is on."""
    path = target.partition("?")[0]
    exact = ROUTES.get(path)
    shape = [r for r in ROUTES.values() if r.fields and path.startswith(r.base)]
    if shape and not exact:
        count = path.removeprefix(shape[0].base).count("/") + 1
        return next(r for r in shape if len(r.fields) == count)
    return exact or next(r for r in ROUTES.values() if r.has_key and path.startswith(r.base))


def test_requests_above_ask_every_method_of_the_table_by_its_scope():
    asked = {(route_of(t).template, method, scope) for method, t, _, scope in REQUESTS}

    assert asked == {
        (route.template, method, None if route.is_open else rule.scope)
        for route in ROUTES.values()
        for method, rule in route.rules.items()
    }


def test_requests_above_ask_every_method_that_shows_keys_for_one_outside():
    asked = {(route_of(target).template, method) for method, target, _ in OUTSIDE}

    assert asked == {
        (route.template, method)
        for route in ROUTES.values()
        for method in route.rules
        if route.keys != "none"
    }


@pytest.mark.parametrize("template", ROUTES)
@pytest.mark.parametrize("scope", [None, *SCOPES])
def test_method_that_a_route_does_not_answer_is_405_for_every_token(
    guarded: Guarded, template: str, scope: Scope | None
):
    route = ROUTES[template]
    _, secret = guarded.file.add("app", scope or "read")
    path = route.base + ("YQ" if route.has_key else "/".join("a" for _ in route.fields))
    for method in {*METHODS, "PATCH"} - route.rules.keys():
        answer = guarded.ask(method, path, None, secret if scope else None)

        if scope or route.is_open:
            assert answer.status_code == 405
            assert {*answer.headers["Allow"].split(", ")} == {*route.rules, "OPTIONS"}
        else:
            assert answer.status_code == 401


def test_refusals_are_counted_by_reason(guarded: Guarded):
    _, secret = guarded.file.add("app", "read", prefix="app/")
    _, whole = guarded.file.add("all", "read")
    guarded.ask("GET", "/v1/kv/app/1")
    guarded.ask("GET", "/v1/kv/app/1", None, "wrong")
    guarded.ask("GET", "/v1/kv/other", None, secret)
    guarded.ask("PUT", "/v1/kv/app/1", None, secret)

    metrics = guarded.ask("GET", "/metrics", None, whole).text

    assert 'rundlet_refused_total{reason="missing"} 1' in metrics
    assert 'rundlet_refused_total{reason="unknown"} 1' in metrics
    assert 'rundlet_refused_total{reason="expired"} 0' in metrics
    assert 'rundlet_refused_total{reason="forbidden"} 2' in metrics


def test_refused_import_is_counted_once(guarded: Guarded):
    _, secret = guarded.file.add("app", "write", prefix="app/")
    _, whole = guarded.file.add("all", "read")
    row = {"key": "other", "text": "x"}
    guarded.ask("POST", "/v1/import?format=jsonl", row, secret)

    metrics = guarded.ask("GET", "/metrics", None, whole).text

    assert 'rundlet_refused_total{reason="forbidden"} 1' in metrics


def test_audit_tells_writes_and_refusals_and_no_reads(guarded: Guarded):
    token, secret = guarded.file.add("app", "write", prefix="app/")
    guarded.ask("GET", "/v1/kv/app/1", None, secret)
    guarded.ask("POST", "/v1/mget", {"keys": ["app/1"]}, secret)
    put = guarded.ask("PUT", "/v1/kv/app/1?ttl=60", None, secret)
    guarded.ask("GET", "/v1/kv/other", None, "wrong")

    written, refused = guarded.audit()

    assert written["who"] == "app"
    assert written["token"] == token.token_id
    assert written["request_id"] == put.headers["Request-Id"]
    assert (written["method"], written["route"]) == ("PUT", "/v1/kv/{key:path}")
    assert (written["path"], written["status"]) == ("/v1/kv/app/1", 204)
    assert (refused["who"], refused["status"]) == (None, 401)
    assert secret not in guarded.audit_path.read_text()


def test_audit_tells_the_keys_of_a_transaction(guarded: Guarded):
    _, secret = guarded.file.add("app", "write", prefix="app/")
    guarded.file.add("other", "read")
    delete = {"op": "delete", "key": "app/1"}
    conditions = [{"key": "app/1", "exists": True}, {"key": "app/2", "exists": False}]
    done = guarded.ask("POST", "/v1/txn", {"if": conditions, "then": [delete]}, secret)
    bad = guarded.ask("POST", "/v1/txn", {"then": [{**delete, "key": "other"}]}, secret)

    written, refused = guarded.audit()

    assert (done.status_code, written["keys"]) == (200, ["app/1", "app/2"])
    assert (bad.status_code, refused["keys"]) == (403, ["other"])


def test_audit_tells_which_commit_a_request_made(guarded: Guarded):
    _, secret = guarded.file.add("all", "admin")
    good = guarded.store.stats().revision
    put = {"op": "put", "key": "app/1", "text": "2"}
    requests: list[tuple[str, str, object]] = [
        ("PUT", "/v1/kv/app/1", None),
        ("DELETE", "/v1/kv/app/1", None),
        ("POST", "/v1/txn", {"then": [put]}),
        ("POST", "/v1/rollback", {"prefix": "app/", "to": good}),
        ("DELETE", "/v1/history/app/1", None),
    ]
    revisions = []
    for method, target, body in requests:
        assert guarded.ask(method, target, body, secret).status_code < 300
        revisions.append(guarded.store.stats().revision)
    wrote_nothing: list[tuple[str, str, object]] = [
        ("DELETE", "/v1/kv/app/1", None),
        ("POST", "/v1/txn", {"if": [{"key": "other", "exists": True}]}),
        ("POST", "/v1/txn", {"then": [{"op": "delete", "key": "app/9"}]}),
        ("POST", "/v1/rollback", {"prefix": "app/", "to": good, "dry_run": True}),
        ("POST", "/v1/rollback", {"prefix": "other", "to": good}),
        ("DELETE", "/v1/history/app/9", None),
    ]
    for method, target, body in wrote_nothing:
        guarded.ask(method, target, body, secret)

    lines = guarded.audit()

    assert revisions == list(range(good + 1, good + 1 + len(requests)))
    assert [line.get("revision") for line in lines] == [*revisions, *[None] * len(wrote_nothing)]


def test_audit_tells_whose_token_has_expired(guarded: Guarded):
    _, secret = guarded.file.add("app", "write", expires_us=system_clock_us() + 50_000)
    time.sleep(0.06)

    answer = guarded.ask("GET", "/v1/kv/app/1", None, secret)

    assert answer.status_code == 401
    assert [line["who"] for line in guarded.audit()] == ["app"]


def test_audit_is_silent_while_there_are_no_tokens(guarded: Guarded):
    guarded.ask("PUT", "/v1/kv/app/1")

    assert guarded.audit() == []


@pytest.mark.parametrize("change", [lambda s: s, lambda s: s[:-1], lambda s: s + "x"])
def test_no_answer_repeats_a_secret(guarded: Guarded, change: Callable[[str], str]):
    _, secret = guarded.file.add("app", "read")
    sent = change(secret)

    for target in ("/v1/kv/app/1", "/v1/kv/none", "/v1/nothing", "/v1/keys?wrong"):
        answer = guarded.ask("GET", target, None, sent)
        assert sent not in answer.text
        assert sent not in str(answer.headers)
