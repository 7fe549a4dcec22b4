"""Test ``/v1/kv``: values, their headers, and what PUT and DELETE reject."""

from __future__ import annotations

import falcon.testing
import pytest

from tests.support.models.model import Clock

EMPTY = {"Content-Length": "0"}


def put(api: falcon.testing.TestClient, key: str, value: bytes, **options):
    headers = options.pop("headers", {}) | ({} if value else EMPTY)
    return api.simulate_put(f"/v1/kv/{key}", body=value, headers=headers, **options)


def test_new_value_is_created_and_read_back_exactly(api):
    value = bytes(range(256))

    written = put(api, "a", value, headers={"Content-Type": "Image/PNG; x=1"})

    read = api.simulate_get("/v1/kv/a")
    assert written.status_code == 201
    assert written.headers["KV-Version"] == "1"
    assert read.status_code == 200
    assert read.content == value
    assert read.headers["Content-Type"] == "Image/PNG; x=1"
    assert read.headers["Content-Length"] == "256"
    assert read.headers["ETag"] == written.headers["ETag"]
    assert read.headers["KV-Revision"] == written.headers["KV-Revision"]
    assert read.headers["KV-Version"] == "1"
    assert read.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert read.headers["Accept-Ranges"] == "bytes"
    assert read.headers["Cache-Control"] == "no-cache"
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    assert read.headers["Content-Security-Policy"] == "sandbox"
    assert "KV-Expires" not in read.headers


def test_replaced_value_answers_204_with_another_tag(api):
    first = put(api, "a", b"1")

    second = put(api, "a", b"2")

    assert second.status_code == 204
    assert second.content == b""
    assert second.headers["KV-Version"] == "2"
    assert second.headers["ETag"] != first.headers["ETag"]


def test_empty_value_is_a_value(api):
    assert put(api, "a", b"").status_code == 201

    read = api.simulate_get("/v1/kv/a")

    assert read.status_code == 200
    assert read.headers["Content-Length"] == "0"
    assert read.headers["Content-Type"] == "application/octet-stream"


def test_head_is_get_without_the_value(api):
    put(api, "a", b"12345")
    got = api.simulate_get("/v1/kv/a")

    head = api.simulate_head("/v1/kv/a")

    assert head.status_code == 200
    assert head.content == b""
    assert dict(head.headers) == dict(got.headers)


def test_missing_value_is_404(api):
    for method in ("GET", "HEAD", "DELETE"):
        answer = api.simulate_request(method, "/v1/kv/nothing")

        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"

    assert api.simulate_get("/v1/kv/nothing").json["type"] == "/problems/not-found"


def test_deleted_value_is_gone_and_starts_again_at_version_1(api):
    put(api, "a", b"1")
    put(api, "a", b"2")

    assert api.simulate_delete("/v1/kv/a").status_code == 204

    assert api.simulate_get("/v1/kv/a").status_code == 404
    again = put(api, "a", b"3")
    assert again.status_code == 201
    assert again.headers["KV-Version"] == "1"


@pytest.mark.parametrize("ttl", ["60", "60.0", "59.5", ".5", "0.25", "6e1", "5e-05", "1.5E+2"])
def test_value_expires_after_its_ttl(api, clock: Clock, ttl: str):
    put(api, "a", b"1", params={"ttl": ttl})

    clock.advance(float(ttl) - 0.000_001)
    assert api.simulate_get("/v1/kv/a").status_code == 200
    clock.advance(0.000_001)
    assert api.simulate_get("/v1/kv/a").status_code == 404


def test_expiry_is_told_in_rfc_3339(api):
    put(api, "a", b"1", params={"ttl": "1.5"})

    answer = api.simulate_get("/v1/kv/a")

    assert answer.headers["KV-Expires"] == "2023-11-14T22:13:21.500000Z"


def test_put_without_ttl_takes_the_expiry_away(api, clock: Clock):
    put(api, "a", b"1", params={"ttl": "1"})
    put(api, "a", b"2")

    clock.advance(10)

    assert api.simulate_get("/v1/kv/a").content == b"2"


@pytest.mark.parametrize(
    "query",
    [
        "ttl=0", "ttl=-1", "ttl=nan", "ttl=inf", "ttl=1e", "ttl=1e-7", "ttl=1e99", "ttl=1e9999",
        "ttl=", "ttl=x", "ttl=0.0000001",
        "ttl=99999999999", "ttl=%D9%A1", "ttl=1&ttl=2", "tll=1", "ttl=%zz", "%FF=1",
    ],
)  # fmt: skip
def test_put_with_a_bad_query_changes_nothing(api, query: str):
    answer = put(api, "a", b"1", query_string=query)

    assert answer.status_code == 400
    assert answer.json["type"] == "/problems/bad-query"
    assert api.simulate_get("/v1/kv/a").status_code == 404


def test_unknown_option_is_named(api):
    put(api, "a", b"1")

    answer = api.simulate_get("/v1/kv/a", query_string="revv=1")

    assert answer.status_code == 400
    assert "revv" in answer.json["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Range": "bytes 0-1/5"}, 400),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "identity"}, 201),
        ({"Content-Type": "text/plain\x0bx"}, 400),
        ({"Content-Type": "text/\xe9"}, 400),
        ({"Content-Type": "x" * 201}, 400),
        ({"Content-Length": "1001"}, 413),
    ],
)
def test_put_refuses_what_it_cannot_store(api, headers: dict[str, str], status: int):
    answer = api.simulate_put("/v1/kv/a", body=b"1", headers=headers)

    assert answer.status_code == status
    assert api.simulate_get("/v1/kv/a").status_code == (200 if status == 201 else 404)


def test_value_over_the_limit_is_413_with_limit_and_got(api):
    assert put(api, "a", b"x" * 1_000).status_code == 201

    answer = put(api, "a", b"x" * 1_001)

    assert answer.status_code == 413
    assert (answer.json["limit"], answer.json["got"]) == (1_000, 1_001)
    assert len(api.simulate_get("/v1/kv/a").content) == 1_000


def test_chunked_value_of_untold_length_is_411(api):
    chunked = {"Transfer-Encoding": "chunked", "Content-Length": ""}

    answer = api.simulate_put("/v1/kv/a", body=b"perhaps a part", headers=chunked)

    assert answer.status_code == 411
    assert api.simulate_get("/v1/kv/a").status_code == 404


def test_short_body_is_not_stored(api):
    answer = api.simulate_put("/v1/kv/a", body=b"abc", headers={"Content-Length": "10"})

    assert answer.status_code == 400
    assert answer.json["type"] == "/problems/short-body"
    assert api.simulate_get("/v1/kv/a").status_code == 404


def test_put_without_a_length_is_411(api):
    assert api.simulate_put("/v1/kv/a").status_code == 411


def test_old_revision_is_read_as_it_was(api):
    first = put(api, "a", b"1").headers["KV-Revision"]
    put(api, "a", b"2")

    answer = api.simulate_get("/v1/kv/a", params={"rev": first})

    assert answer.content == b"1"
    assert answer.headers["KV-Revision"] == first


@pytest.mark.parametrize("revision", ["999", "-1", "x", "", "1" * 30])
def test_revision_that_is_none_is_400(api, revision: str):
    put(api, "a", b"1")

    answer = api.simulate_get("/v1/kv/a", query_string=f"rev={revision}")

    assert answer.status_code == 400


@pytest.mark.parametrize("method", ["POST", "PATCH", "TRACE"])
def test_other_methods_are_405_with_allow(api, method: str):
    answer = api.simulate_request(method, "/v1/kv/a")

    assert answer.status_code == 405
    assert {"GET", "HEAD", "PUT", "DELETE"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_method_nobody_knows_is_405_too(api):
    answer = api.simulate_request("BREW", "/v1/kv/a")

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_options_lists_the_methods(api):
    answer = api.simulate_options("/v1/kv/a")

    assert answer.status_code == 200
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, PUT"
