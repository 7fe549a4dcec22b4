"""Test copies between servers that ask for tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rundlet import Client
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer


class Guarded(NamedTuple):
    """A server, and its tokens by scope."""

    url: str
    tokens: dict[str, str]


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    tokens = {}
    for scope in ("read", "write", "admin"):
        added = run("token", "add", scope, "--scope", scope, "--create", "--data", str(folder))
        assert added.code == 0, added.err
        tokens[scope] = added.text.strip()
    with RundletServer("--data", folder, stderr_path=folder.with_suffix(".log")) as server:
        yield Guarded(server.url, tokens)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Guarded, Guarded]]:
    """Two servers, of which the first has keys."""
    with guarded(tmp_path / "from") as source, guarded(tmp_path / "to") as to:
        with Client(source.url, token=source.tokens["admin"]) as client:
            client.set("a", "1")
            client.set("a", "2")
            client.set("soon", "3", ttl=3_600)
            client.retention(keep_versions=3)
        yield source, to


def copy(source: Guarded, source_scope: str, to: Guarded, to_scope: str) -> object:
    return run(
        *("copy", source.url, to.url, "--from-token", source.tokens[source_scope]),
        *("--to-token", to.tokens[to_scope]),
    )


@pytest.mark.parametrize("scopes", [("read", "write"), ("admin", "admin")])
def test_reading_there_and_writing_here_is_enough(servers, scopes):
    source, to = servers

    copied = copy(source, scopes[0], to, scopes[1])

    assert copied.code == 0, copied.err
    with Client(to.url, token=to.tokens["admin"]) as client:
        assert client.get("a", version=1).data == b"1"
        assert client.get("soon").expires is not None
        kept = client.retention().keep_versions
    if scopes[0] == "admin":
        assert (kept, copied.err) == (3, "")
    else:
        assert "TO keeps its own retention" in copied.err


def test_a_token_that_may_only_read_copies_nothing(servers):
    source, to = servers

    refused = copy(source, "read", to, "read")

    assert refused.code == 6
    with Client(to.url, token=to.tokens["admin"]) as client:
        assert client.count() == 0


def test_a_server_that_is_not_there_is_an_error():
    refused = run("copy", "http://127.0.0.1:1", "./nowhere")

    assert refused.code == 4
    assert "is the server running?" in refused.err
    assert not Path("nowhere").exists()
