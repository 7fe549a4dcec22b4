"""Test ``/v1/export`` and ``/v1/import`` without a server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.errors import Damaged, DiskFull
from rundlet_server.storage.interface import Delete, Limits, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

UUID = "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"
JSONL = {"Content-Type": "application/jsonl"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    yield store
    store.close()


@pytest.fixture
def api(store: Store) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(store, ServerSettings(exports_max=1)))


def fill(store: Store, *keys: str, value: bytes = b"v") -> None:
    store.commit(Txn([Put(key, value, "text/plain") for key in keys]))


def send(api, body: bytes | str, query: str = "", **headers: str):
    named = JSONL | {name.replace("_", "-"): text for name, text in headers.items()}
    return api.simulate_post("/v1/import", query_string=query, body=body, headers=named)


def rows(*keys: str, text: str = "new") -> str:
    return "".join(json.dumps({"key": key, "text": text}) + "\n" for key in keys)


def test_an_export_is_json_lines_of_the_head_by_default(api, store):
    fill(store, "b", "a")

    answer = api.simulate_get("/v1/export")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert answer.headers["KV-Revision"] == "1"
    assert [json.loads(line)["key"] for line in answer.text.splitlines()] == ["a", "b"]


def test_the_formats_and_the_compression_are_chosen(api, store):
    fill(store, "a", "b/1")

    table = api.simulate_get("/v1/export?format=csv&prefix=b/")
    items = api.simulate_get("/v1/export?format=cbor-seq&prefix=b/")
    packed = api.simulate_get("/v1/export", headers={"Accept-Encoding": "br, gzip"})
    plain = api.simulate_get("/v1/export", headers={"Accept-Encoding": "gzip;q=0"})

    assert table.text == "key,content_type,expires,meta,encoding,value\nb/1,text/plain,,,text,v\n"
    assert cbor2.loads(items.content)["value"] == b"v"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.content) == plain.content


def test_the_past_is_exported(api, store):
    fill(store, "a")
    fill(store, "b")
    store.commit(Txn([Delete("a")]))
    entry = store.get("b")
    assert entry is not None
    time = "2001-01-01T00:00:00Z"

    assert [json.loads(line)["key"] for line in export(api, "?rev=2")] == ["a", "b"]
    assert export(api, "") == export(api, "?rev=3")
    assert api.simulate_get("/v1/export?rev=4").status_code == 400
    assert api.simulate_get(f"/v1/export?at={time}").status_code in (200, 410)
    assert api.simulate_get("/v1/export?at=soon").status_code == 400
    assert api.simulate_get(f"/v1/export?rev=1&at={time}").status_code == 400


def export(api, query: str) -> list[str]:
    return api.simulate_get("/v1/export" + query).text.splitlines()


@pytest.mark.parametrize("query", ["?format=text", "?format=xml", "?limit=1"])
def test_an_export_that_is_asked_for_wrongly_is_refused(api, query):
    assert api.simulate_get("/v1/export" + query).status_code == 400


def test_an_export_over_http_1_0_is_refused(api):
    answer = api.simulate_get("/v1/export", http_version="1.0")

    assert (answer.status_code, answer.json["type"]) == (505, "/problems/http-version")


def test_exports_beyond_the_limit_are_refused_and_a_finished_one_makes_room(store):
    app = create_app(store, ServerSettings(exports_max=1))
    fill(store, "a")
    first = app(falcon.testing.create_environ("/v1/export"), lambda *_: None)

    second = falcon.testing.TestClient(app).simulate_get("/v1/export")

    assert (second.status_code, second.json["type"]) == (503, "/problems/too-many-answers")
    assert second.json["limit"] == 1
    assert "--max-exports" in second.json["detail"]
    first.close()
    assert falcon.testing.TestClient(app).simulate_get("/v1/export").status_code == 200


def test_an_export_that_breaks_off_raises_and_never_ends_well(store, monkeypatch):
    fill(store, *(f"{n:04}" for n in range(1_000)))
    fill(store, *(f"{n:04}" for n in range(1_000, 2_000)))
    app = create_app(store, ServerSettings())
    for environ, is_marked in (({}, True), ({"wsgi.file_wrapper": object}, False)):
        body = iter(
            app({**falcon.testing.create_environ("/v1/export"), **environ}, lambda *_: None)
        )
        pieces = [next(body)]
        with monkeypatch.context() as patch:
            patch.setattr("rundlet_server.functions.transfer.exporting.Export._page", fail)
            with pytest.raises(Damaged):
                pieces += body

        lines = b"".join(pieces).splitlines()
        assert len(lines) == 1_000 + is_marked
        assert not is_marked or not lines[-1].endswith(b"}")


def fail(*_: object, **__: object):
    raise Damaged(Path("x.log"), 0, "planted")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (rows("a", "b"), "application/jsonl"),
        (rows("a", "b"), "application/x-ndjson; charset=utf-8"),
        ("key,value\na,new\nb,new\n", "text/csv"),
        (
            b"".join(cbor2.dumps({"key": key, "value": b"new"}) for key in "ab"),
            "application/cbor-seq",
        ),
    ],
)
def test_every_format_is_imported_by_its_type(api, store, body, content_type):
    answer = send(api, body, Content_Type=content_type)

    assert answer.json == {"imported": 2, "skipped": 0, "revision": 1}
    assert [e.value for e in store.get_many(["a", "b"]).entries] == [b"new", b"new"]


def test_lines_of_text_are_imported(api, store):
    text = {"Content_Type": "text/plain"}

    assert send(api, f"{UUID} a value\n", **text).json["imported"] == 1
    assert send(api, "any b\n", **text).status_code == 422
    assert send(api, "any b\n", "any_key", **text).json["imported"] == 1
    assert send(api, "other c\n", "format=text&any_key=true").json["imported"] == 1
    assert store.get(UUID).value == b"a value"


def test_a_bad_line_ends_an_import_and_the_rows_before_it_are_stored(api, store):
    answer = send(api, rows("a", "b") + "x\n" + rows("c"))

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/bad-row")
    assert (answer.json["line"], answer.json["imported"]) == (3, 2)
    assert [key.key for key in store.scan().keys] == ["a", "b"]


def test_keys_that_exist_are_replaced_skipped_or_end_the_import(api, store):
    fill(store, "b")

    skipped = send(api, rows("a", "b", "c"), "on_conflict=skip")
    failed = send(api, rows("x", "b", "y"), "on_conflict=fail")
    kept = store.get("b").value
    replaced = send(api, rows("a", "b"), "on_conflict=replace")

    assert (skipped.json["imported"], skipped.json["skipped"]) == (2, 1)
    assert (failed.status_code, failed.json["type"]) == (409, "/problems/key-exists")
    assert (failed.json["line"], failed.json["imported"]) == (2, 1)
    assert kept == b"v"
    assert replaced.json["imported"] == 2
    assert [key.key for key in store.scan().keys] == ["a", "b", "c", "x"]
    assert send(api, "", "on_conflict=perhaps").status_code == 400


def test_a_compressed_import_is_read(api):
    packed = gzip.compress(rows("a", "b").encode())

    assert send(api, packed, Content_Encoding="gzip").json["imported"] == 2
    cut = send(api, packed[:-3], Content_Encoding="gzip")
    assert (cut.status_code, cut.json["type"]) == (400, "/problems/bad-body")
    assert send(api, packed, Content_Encoding="br").status_code == 415


def test_an_import_that_grows_too_large_when_decompressed_is_refused(tmp_path):
    limits = Limits(txn_bytes_max=1_000, txn_ops_max=1, key_bytes_max=64, value_bytes_max=100)
    store = open_log_store(tmp_path / "small", StoreSettings(limits=limits, sync="never"))
    api = falcon.testing.TestClient(create_app(store))
    cap = api.simulate_get("/v1").json["limits"]["import_body_bytes_max"]
    body = rows("a") * (cap // 20)

    plain = send(api, body)
    packed = send(api, gzip.compress(body.encode()), Content_Encoding="gzip")

    for answer in (plain, packed):
        assert (answer.status_code, answer.json["type"]) == (413, "/problems/too-large")
        assert answer.json["limit"] == cap
    store.close()


def test_a_body_that_breaks_off_is_not_taken_for_whole(api, store):
    answer = send(api, rows("a") + '{"key": "b', Content_Length="1000")

    assert (answer.status_code, answer.json["type"]) == (400, "/problems/short-body")
    assert answer.json["imported"] == 0
    assert store.count() == 0


def test_an_import_needs_a_length_a_type_and_a_page_that_may_send_it(api):
    assert send(api, rows("a"), Content_Type="application/json").status_code == 415
    page = {"Origin": "http://evil.example"}
    assert send(api, rows("a"), Content_Type="text/plain", **page).status_code == 403


def test_a_disk_that_becomes_full_says_how_far_the_import_came(api, store, monkeypatch):
    commits = []

    def full(rows):
        if commits:
            raise DiskFull("no space")
        commits.append(rows)

    monkeypatch.setattr("rundlet_server.functions.transfer.importing._BULK_ROWS", 2)
    monkeypatch.setattr(
        "rundlet_server.functions.monitoring.counting.CountedStore.load", lambda _, rows: full(rows)
    )

    answer = send(api, rows(*"abcd"))

    assert answer.status_code == 507
    assert (answer.json["line"], answer.json["imported"]) == (3, 2)
    assert "2 rows are stored" in answer.json["detail"]
    assert "Retry-After" not in answer.headers


def test_what_was_exported_is_imported_with_its_expiry(api, store, tmp_path):
    store.commit(Txn([Put("a", b"\xff", "x/y", ttl_s=1_000), Put("b", b"b")]))
    other = open_log_store(tmp_path / "other", StoreSettings(sync="never"))
    to = falcon.testing.TestClient(create_app(other))

    for name in ("jsonl", "csv", "cbor-seq"):
        exported = api.simulate_get(f"/v1/export?format={name}").content
        assert send(to, exported, f"format={name}").json["imported"] == 2
        for key in "ab":
            ours, theirs = store.get(key), other.get(key)
            assert (ours.value, ours.content_type, ours.expires_us) == (
                *(theirs.value, theirs.content_type),
                theirs.expires_us,
            )
    other.close()
