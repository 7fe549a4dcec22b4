"""Test how keys and routes are read from the raw request target."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundlet_server.functions.messages.target import key_from_base64url, key_from_path, raw_path
from rundlet_server.functions.problems import Problem

KEY_BYTES_MAX = 2_048

KEYS = [
    "a", "a/b", "/", "//", "a/", "/a", "a//b", "a%2Fb", "+", "a b", "%", "%zz", "?", "#",
    "\0", "\n", "\r\n", "😀", "é", "e\u0301", "...", ".a", "a.", "\u2028", "ключ", "\x7f", "\\",
    "3479d894-3271-4935-88cf-a06f3cbb80a5", "x" * 2_048, "é" * 1_024,
]  # fmt: skip


def quoted(key: str) -> str:
    """Every byte but letters and digits percent-encoded."""
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789-"
    return "".join(chr(x) if x in plain else f"%{x:02X}" for x in key.encode())


def base64url(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


@pytest.mark.parametrize("key", KEYS)
def test_key_survives_the_path(key: str):
    assert key_from_path(quoted(key), KEY_BYTES_MAX) == key


@pytest.mark.parametrize("key", [*KEYS, ".", "..", "a/../b"])
def test_key_survives_base64url(key: str):
    assert key_from_base64url(base64url(key.encode()), KEY_BYTES_MAX) == key


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_key_has_one_spelling_in_base64url(key: str):
    encoded = base64url(key.encode())

    assert key_from_base64url(encoded, KEY_BYTES_MAX) == key


@settings(derandomize=True, deadline=None)
@given(st.text("AQgw-_=x", min_size=1, max_size=6), st.text("AQgw-_=x", min_size=1, max_size=6))
def test_two_spellings_never_name_one_key(one: str, other: str):
    keys = []
    for encoded in (one, other):
        try:
            keys.append(key_from_base64url(encoded, KEY_BYTES_MAX))
        except Problem:
            return

    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize(
    ("encoded", "key"),
    [("a+b", "a+b"), ("a%2fb", "a/b"), ("%2525", "%25"), ("a;b=c,d", "a;b=c,d"), ('"|', '"|')],
)
def test_path_is_decoded_once(encoded: str, key: str):
    assert key_from_path(encoded, KEY_BYTES_MAX) == key


@pytest.mark.parametrize(
    "encoded",
    ["", "%", "%4", "a%zzb", "%FF", "%C3", "%C0%AF", "%ED%A0%80", ".", "..", "a/../b", "%2e%2E/x",
     "./a", "a/.", "a/%2e"],
)  # fmt: skip
def test_bad_key_in_the_path_is_400(encoded: str):
    with pytest.raises(Problem) as caught:
        key_from_path(encoded, KEY_BYTES_MAX)

    assert (caught.value.status, caught.value.name) == (400, "bad-key")


def test_dot_segment_points_to_kv64():
    with pytest.raises(Problem, match="/v1/kv64/"):
        key_from_path("a/../b", KEY_BYTES_MAX)


@pytest.mark.parametrize(
    "encoded",
    ["", "YQ==", "YQ=", "Y", "YR", "Y Q", "YQ%3D", "Y+Q", "Y/Q", "_w", "é", "YQ\n", "7aCA"],
)
def test_bad_base64url_is_400(encoded: str):
    with pytest.raises(Problem) as caught:
        key_from_base64url(encoded, KEY_BYTES_MAX)

    assert (caught.value.status, caught.value.name) == (400, "bad-key")


@pytest.mark.parametrize("decode", [key_from_path, key_from_base64url])
def test_key_too_long_is_414(decode):
    key = b"x" * 2_049
    encoded = key.decode() if decode is key_from_path else base64url(key)

    with pytest.raises(Problem) as caught:
        decode(encoded, KEY_BYTES_MAX)

    assert (caught.value.status, caught.value.name) == (414, "key-too-long")
    assert caught.value.members == {"limit": 2_048, "got": 2_049}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/kv/a", "/v1/kv/a"),
        ("/v1/kv/a?b=c?d", "/v1/kv/a"),
        ("/v1/kv/a#b?c", "/v1/kv/a"),
        ("http://host:80/v1/kv/a?b", "/v1/kv/a"),
        ("HTTPS://host/v1/kv/a%2F", "/v1/kv/a%2F"),
        ("http://host", "/"),
        ("http://host?x", "/"),
        ("//v1/kv/a", "//v1/kv/a"),
        ("/v1/kv/http://x/y", "/v1/kv/http://x/y"),
        ("*", "*"),
    ],
)
def test_path_is_cut_out_of_the_target(target: str, path: str):
    assert raw_path({"REQUEST_URI": target, "PATH_INFO": "/wrong"}) == path


def test_without_a_raw_target_path_info_is_read_as_bytes():
    path_info = "/v1/kv/100%/é".encode().decode("latin-1")

    assert raw_path({"PATH_INFO": path_info}) == "/v1/kv/100%25/%C3%A9"


@pytest.mark.parametrize(
    "target",
    ["//v1/kv/a", "/v1%2Fkv/a", "/v1/kv%2Fa", "/v1/%6Bv/a", "/%761/kv/a", "/v1/kv", "/v1/KV/a",
     "/v1/keys/", "/v1%2Fkeys", "//v1/keys", "/v1/", "/v2/kv/a", "/v1/kv64"],
)  # fmt: skip
def test_mangled_route_is_404(api, target: str):
    answer = api.simulate_get(target)

    assert answer.status_code == 404
    assert answer.json["type"] == "/problems/no-such-route"


@pytest.mark.parametrize("key", ["a", "a/b/", "//", "\0\n", "😀", "+ %", "é?#"])
def test_both_routes_name_the_same_value(api, key: str):
    api.simulate_put(f"/v1/kv/{quoted(key)}", body=b"1")

    answer = api.simulate_get(f"/v1/kv64/{base64url(key.encode())}")

    assert answer.content == b"1"
    assert [info["key"] for info in api.simulate_get("/v1/keys").json["keys"]] == [key]


def test_keys_that_differ_in_bytes_are_different(api):
    for key in ("é", "e\u0301", "E"):
        api.simulate_put(f"/v1/kv/{quoted(key)}", body=key.encode())

    for key in ("é", "e\u0301", "E"):
        assert api.simulate_get(f"/v1/kv/{quoted(key)}").content == key.encode()


def test_empty_key_is_400(api):
    for path in ("/v1/kv/", "/v1/kv64/"):
        answer = api.simulate_get(path)

        assert answer.status_code == 400
        assert answer.json["type"] == "/problems/bad-key"
