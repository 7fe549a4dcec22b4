"""Test unusual keys and values through curl, the command line and the store's folder."""

from __future__ import annotations

import base64
import random
import subprocess
from urllib.parse import quote

import pytest

from tests.support.processes.command_line import run, run_process
from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, connect, start
from tests.support.programs import program

PLAIN_KEYS = [
    "a/b//c",
    "//x",
    "/",
    " ",
    "-x",
    "--help",
    "\x00",
    "a\nb\r\tc",
    "\x7f\x1b[31m",
    "🛢️ fäßchen",
    "%41",
    "%FF",
    "%zz",
    "?a=b&c#d",
    "a+b c",
    "a;b=c,d",
    "...",
    "a/...",
    ".hidden",
    "a\u0301",
    "\u00e1",
    "\ufffd",
    "\ufeffbom",
    "\u202egnp",
    "x" * 2_048,
    "€" * 682 + "xx",
    "history",
    "NUL",
    "'\"\\`$(x)",
]
DOT_KEYS = [".", "..", "a/../b", "../x", "a/./b", "a/.."]
VALUES = [
    b"",
    b"\n",
    b"\x00" * 1_000,
    b"\r\n\r\n",
    b'{"a": 1}',
    random.Random(5).randbytes(5_000_000),
]


@pytest.fixture(scope="module", params=SERVERS, ids=SERVER_NAMES)
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    with start(folder, *request.param) as running:
        # Half of the keys are enough for each server.
        running.share = slice(SERVERS.index(request.param), None, 2)
        running.places = [("--url", running.url), ("--data", str(folder / "data"))]
        yield running


def key64(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def curl(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """Status and body of what curl asked for."""
    command = [
        program("curl"),
        "-s",
        "--path-as-is",
        "-o",
        "-",
        "-w",
        "\\n%{http_code}",
        *arguments,
    ]
    out = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=True).stdout
    body, _, status = out.rpartition(b"\n")
    return int(status), body


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{len(value)}_bytes")
def test_curl_gets_back_what_it_sent(server, value):
    for target in ("/v1/kv/" + quote("fäß/🛢️ %", safe=""), "/v1/kv64/" + key64("a/../b")):
        url = server.url + target
        put = curl("-X", "PUT", "--data-binary", "@-", url, stdin=value)

        assert put[0] in (201, 204)
        assert curl(url) == (200, value)


def test_every_key_is_its_own(server):
    """Each key holds itself, whichever way it is asked for."""
    with connect(server) as connection:
        for key in PLAIN_KEYS:
            target = "/v1/kv/" + quote(key, safe="")
            assert connection.ask("PUT", target, key.encode()).status in (201, 204)
        for key in DOT_KEYS:
            refused = connection.ask("PUT", "/v1/kv/" + quote(key, safe=""), b"x")
            assert refused.status == 400
            assert "/v1/kv64/" in refused.json["detail"]
            connection.ask("PUT", "/v1/kv64/" + key64(key), key.encode())

        for key in PLAIN_KEYS + DOT_KEYS:
            assert connection.ask("GET", "/v1/kv64/" + key64(key)).body == key.encode()
        items = connection.send("/v1/mget", {"keys": PLAIN_KEYS + DOT_KEYS}).json["items"]
        values = [base64.b64decode(item["base64"]).decode() for item in items]
        assert values == PLAIN_KEYS + DOT_KEYS


def test_command_line_takes_every_key_everywhere(server):
    by_url, by_data = server.places
    for key in (PLAIN_KEYS + DOT_KEYS)[server.share]:
        if "\x00" in key:
            continue  # no argument of a process can hold it
        assert run("set", *by_url, "--", key, f"url {key}").code == 0
        assert run("get", *by_data, "--", key).out == f"url {key}".encode()
        assert run("ls", *by_data, "--", key).out.startswith(key.encode())
        assert run("set", *by_data, "--", key, "by the folder").code == 0
        assert run("get", *by_url, "--", key).out == b"by the folder"
        assert run("del", *by_url, "--", key).code == 0
        assert run("get", *by_data, "--", key).code == 1
        assert run("get", *by_url, "--", key).code == 1


def test_command_line_gets_back_what_it_sent(server, tmp_path):
    file = tmp_path / "value"
    for writer, reader in (server.places, server.places[::-1]):
        for value in VALUES:
            file.write_bytes(value)
            assert run("set", *writer, "k", "-", stdin=value).code == 0
            assert run("get", *reader, "k").out == value
            assert run("set", *writer, "f", "--file", str(file)).code == 0
            assert run("get", *reader, "f").out == value
        assert run_process("set", *writer, "p", "-", stdin=VALUES[-1]).code == 0
        assert run_process("get", *reader, "p").out == VALUES[-1]


def test_command_line_stores_a_nul_through_a_file(server, tmp_path):
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"key": "nul \\u0000 key", "text": "value"}\n')
    for place in server.places:
        assert run("mset", *place, "--file", str(lines)).code == 0
        assert b"nul \x00 key" in run("ls", *place, "nul").out


@pytest.mark.parametrize("place", [0, 1], ids=["url", "data"])
def test_bad_keys_are_refused_in_one_line_and_change_nothing(server, place):
    with connect(server) as connection:
        before = connection.ask("GET", "/v1/stats").json
        for key in (b"", b"a\xff", b"x" * 2_049):
            ended = run_process("set", *server.places[place], "--", key, "value")
            assert ended.code == 2, (key[:20], ended)
            assert ended.err.startswith("rundlet: ")
            assert ended.err.count("\n") == 1

        after = connection.ask("GET", "/v1/stats").json
        assert (after["keys"], after["revision"]) == (before["keys"], before["revision"])


def test_broken_utf8_is_400_and_never_another_key(server):
    with connect(server) as connection:
        connection.ask("PUT", "/v1/kv/" + quote("\ufffd"), b"the replacement character")
        for target in ("%FF", "%FF%FD", "%EF%BF", "%C0%AF", "%ED%A0%80", "%F8%88%80%80%80"):
            for method in ("GET", "PUT", "DELETE", "HEAD"):
                body = b"x" if method == "PUT" else None
                assert connection.ask(method, f"/v1/kv/{target}", body).status == 400
        assert connection.ask("GET", "/v1/kv64/" + key64("\ufffd")).status == 200
