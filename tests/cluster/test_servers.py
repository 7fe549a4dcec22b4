"""Servers of both kinds on one store in an engine: each sees at once what the other wrote."""

from __future__ import annotations

import contextlib

import pytest

from tests.support.processes.command_line import run
from tests.support.processes.engines import store_address
from tests.support.processes.servers import RundletServer, wait_for

KINDS = {"waitress": ("--threads", "4"), "granian": ("--server", "granian", "--workers", "2")}


@pytest.fixture(params=["etcd", "postgresql"])
def engine(request) -> str:
    return request.param


@pytest.fixture
def address(engine, tmp_path) -> str:
    return store_address(engine, tmp_path)


@pytest.fixture
def servers(address, tmp_path):
    """One server of each kind."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                RundletServer("--store", address, *options, stderr_path=tmp_path / name)
            )
            for name, options in KINDS.items()
        ]


def test_a_write_on_one_server_is_read_on_the_other_at_once(servers, engine):
    for number in range(20):
        writer, reader = servers[number % 2], servers[1 - number % 2]
        written = writer.client.put("/v1/kv/a", content=b"%d" % number)

        read = reader.client.get("/v1/kv/a")
        assert (read.content, read.headers["ETag"]) == (b"%d" % number, written.headers["ETag"])

    assert servers[0].client.get("/v1").json()["backend"] == engine
    assert servers[1].client.get("/v1/history/a").json()["versions"][-1]["revision"] == 1
    assert servers[0].client.get("/readyz").status_code == 200


def test_a_feed_follows_what_another_server_writes(servers):
    with servers[0].client.stream(
        "GET", "/v1/changes?since=0", headers={"Accept": "application/x-ndjson"}
    ) as feed:
        lines = (line for line in feed.iter_lines() if "next_since" not in line)
        for number in range(3):
            servers[1].client.put(f"/v1/kv/{number}?ttl=0.5", content=b"x")
            assert f'"key":"{number}"' in next(lines)
        assert '"op":"expire"' in next(lines)


@pytest.mark.parametrize("engine", ["etcd"])
def test_what_is_too_large_for_etcd_is_told_with_its_limit(servers):
    limit = servers[0].client.get("/v1").json()["limits"]["value_bytes_max"]

    assert servers[0].client.put("/v1/kv/a", content=bytes(limit)).status_code == 201
    refused = servers[0].client.put("/v1/kv/a", content=bytes(limit + 1))
    assert (refused.status_code, refused.json()["limit"]) == (413, limit)


def test_a_token_is_in_force_on_all_servers(servers, address):
    secret = run("token", "add", "app", "--scope", "read", "--store", address).text.strip()
    for server in servers:
        headers = {"Authorization": f"Bearer {secret}"}
        for _ in range(4):  # the workers of one server may be a second apart
            wait_for(lambda server=server: server.client.get("/v1/keys").status_code == 401)
        assert server.client.get("/v1/keys", headers=headers).status_code == 200
        assert server.client.put("/v1/kv/a", headers=headers).status_code == 403


@pytest.mark.parametrize("engine", ["etcd"])
def test_the_command_line_uses_the_store_beside_servers(servers, address):
    assert run("set", "a", "hello", "--store", address).code == 0

    assert servers[0].client.get("/v1/kv/a").text == "hello"
    assert run("get", "a", "--store", address).text == "hello"
    assert run("ls", "--store", address).text == "a\n"
