"""Test byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import pytest

VALUE = b"0123456789"


@pytest.fixture
def tag(api) -> str:
    """The tag of ten bytes at ``/v1/kv/a``."""
    return api.simulate_put("/v1/kv/a", body=VALUE).headers["ETag"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=2-5", 2, 5),
        ("bytes=5-", 5, 9),
        ("bytes=-3", 7, 9),
        ("bytes=-30", 0, 9),
        ("bytes=8-99999999999999999999", 8, 9),
        ("Bytes=0-1", 0, 1),
        ("bytes= 0-1 ", 0, 1),
    ],
)
def test_one_range_is_206(api, tag: str, asked: str, first: int, last: int):
    answer = api.simulate_get("/v1/kv/a", headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.content == VALUE[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/10"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["ETag"] == tag


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99-100"])
def test_range_outside_is_416(api, tag: str, asked: str):
    answer = api.simulate_get("/v1/kv/a", headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */10"
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-0,2-2", "bytes=-1,-2", "bytes=5-2", "bytes=-", "bytes=", "bytes", "", "lines=0-1",
     "bytes=a-b", "bytes=0-1;", "bytes=+1-2", "bytes=\u0661-2", "bytes=0x0-1", "bytes=0 - 1"],
)  # fmt: skip
def test_several_or_malformed_ranges_give_the_whole(api, tag: str, asked: str):
    answer = api.simulate_get(
        "/v1/kv/a", headers={"Range": asked.encode("utf-8").decode("latin-1")}
    )

    assert answer.status_code == 200
    assert answer.content == VALUE
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    ("if_range", "status"),
    [("TAG", 206), ("W/TAG", 200), ('"1-x"', 200), ("Tue, 14 Nov 2023 22:13:20 GMT", 200)],
)
def test_if_range_needs_the_very_tag(api, tag: str, if_range: str, status: int):
    headers = {"Range": "bytes=0-0", "If-Range": if_range.replace("TAG", tag)}

    assert api.simulate_get("/v1/kv/a", headers=headers).status_code == status


def test_head_takes_no_range(api, tag: str):
    answer = api.simulate_head("/v1/kv/a", headers={"Range": "bytes=0-0"})

    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == "10"


def test_empty_value_has_no_ranges(api):
    api.simulate_put("/v1/kv/empty", headers={"Content-Length": "0"})

    assert api.simulate_get("/v1/kv/empty", headers={"Range": "bytes=0-"}).status_code == 416
    assert api.simulate_get("/v1/kv/empty", headers={"Range": "bytes=-1"}).status_code == 200
