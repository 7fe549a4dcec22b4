"""Test that a server killed after a large load answers at once when it starts again."""

from __future__ import annotations

import random
import uuid

import pytest

from tests.support.processes.command_line import run
from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, connect, kill_whole, start
from tests.support.processes.servers import wait_for

LINES = 200_000
UNINDEXED_MAX = 2 * 65_536
"""Records that a start may have to replay: what comes after the last sealed segment, or two."""


@pytest.fixture(scope="module")
def lines() -> list[str]:
    chance = random.Random(1)
    uuids = (uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(LINES))
    return [f"{key} value number {number}" for number, key in enumerate(uuids)]


@pytest.fixture(scope="module")
def file(lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "large.data"
    path.write_text("\n".join(lines))
    return path


def check(connection, lines) -> None:
    stats = connection.ask("GET", "/v1/stats").json
    assert stats["keys"] == LINES
    assert stats["value_bytes"] == sum(len(line) - 37 for line in lines)
    assert stats["store"]["unindexed_records"] <= UNINDEXED_MAX
    for line in lines[:: LINES // 50]:
        key, _, value = line.partition(" ")
        assert connection.ask("GET", f"/v1/kv/{key}").body == value.encode()


@pytest.mark.parametrize("options", SERVERS, ids=SERVER_NAMES)
def test_served_file_is_there_at_once_after_a_kill(tmp_path, options, lines, file):
    def backlog() -> int:
        return connection.ask("GET", "/v1/stats").json["store"]["unindexed_records"]

    with start(tmp_path, *options, file) as server, connect(server) as connection:
        wait_for(lambda: backlog() <= UNINDEXED_MAX)
        kill_whole(server)

    with start(tmp_path, *options) as server, connect(server) as connection:
        check(connection, lines)


def test_imported_file_is_there_at_once(tmp_path, lines, file):
    ended = run("import", "--data", str(tmp_path / "data"), str(file))
    assert ended.code == 0
    assert ended.err == f"Created a new store in {tmp_path / 'data'}.\n"

    with start(tmp_path, *SERVERS[0]) as server, connect(server) as connection:
        check(connection, lines)
