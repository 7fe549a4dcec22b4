"""Test the client against ``rundlet serve`` with each WSGI server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rundlet import Add, Client, Put
from tests.client.test_client import AWKWARD_KEYS
from tests.support.processes.command_line import run_process
from tests.support.processes.servers import RundletServer

SERVERS = {
    "waitress": ("--server", "waitress"),
    "granian": ("--server", "granian", "--workers", "2"),
}


@pytest.fixture(scope="module", params=SERVERS)
def url(request, tmp_path_factory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    options = ("--data", str(folder / "data"), *SERVERS[request.param])
    with RundletServer(*options, stderr_path=folder / "stderr") as server:
        yield server.url


def test_every_key_gets_through(url):
    with Client(url) as client:
        for key in AWKWARD_KEYS:
            client.set(key, key)
        assert [value.text for value in client.mget(AWKWARD_KEYS)] == AWKWARD_KEYS
        assert [client.get(key).text for key in AWKWARD_KEYS] == AWKWARD_KEYS
        assert {info.key for info in client.scan()} == set(AWKWARD_KEYS)
        assert all(client.delete(key) for key in AWKWARD_KEYS)


def test_large_values_get_through(url):
    data = os.urandom(5_000_000)
    with Client(url) as client:
        client.set("large", data)
        assert client.get_bytes("large") == data
        client.txn([Put("large", data[::-1])])
        assert client.get_bytes("large") == data[::-1]
        client.delete("large")


def test_many_threads_with_one_client_lose_nothing(url):
    with Client(url) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.txn([Add("n"), Add("m", -1)]), range(100)))

        assert client.get_bytes("n") == b"100"
        assert client.get_bytes("m") == b"-100"


def test_the_command_line_reaches_the_server(url):
    assert run_process("set", "//from/../cli", "v", "--url", url).code == 0
    assert run_process("get", "//from/../cli", RUNDLET_URL=url).out == b"v"
