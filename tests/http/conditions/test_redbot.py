"""Have REDbot ask both servers: a judge of HTTP that knows nothing of Rundlet."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support import PATIENCE_S, ROOT
from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, connect, start
from tests.support.processes.servers import RundletServer
from tests.support.programs import missing

pytest.importorskip("granian")

REDBOT = ROOT / ".tools/redbot/bin/redbot"
PAGES = {
    "/v1/kv/a": 200,
    "/v1/kv64/YQ": 200,
    "/v1/kv/none": 404,
    "/v1/kv/a?rev=99": 400,
    "/v1/keys": 200,
    "/v1/keys?include=value&limit=1": 200,
    "/v1/history/a": 200,
    "/v1/diff?from=0": 200,
    "/v1/export": 200,
    "/v1/changes?since=0": 200,
    "/v1": 200,
    "/": 200,
    "/openapi.json": 200,
    "/livez": 200,
    "/metrics": 200,
    "/ui": 307,
    "/ui/": 200,
}
EXPECTED = {400: {"STATUS_BAD_REQUEST"}}
"""Warnings that only say what the status says."""


@pytest.fixture(scope="module", params=SERVERS, ids=SERVER_NAMES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RundletServer]:
    if not REDBOT.exists():
        missing("REDbot is not installed (scripts/install-redbot)")
    folder = tmp_path_factory.mktemp("server")
    with start(folder, *request.param, "--sync", "never") as started, connect(started) as client:
        # Long enough that the range that the tool asks for is a part of it.
        client.ask("PUT", "/v1/kv/a", b"a value of some length " * 100, Content_Type="text/plain")
        client.ask("PUT", "/v1/kv/b", b"another")
        yield started


def test_redbot_finds_nothing_wrong(server: RundletServer):
    script = re.search(r"static/[^\"]+\.js", server.client.get("/ui/").text)
    assert script is not None
    found = {}
    for page, status in {**PAGES, f"/ui/{script[0]}": 200}.items():
        answered, levels = judge(server.url + page)
        assert answered == status, page
        assert "GOOD" in levels.values(), page
        bad = {note for note, level in levels.items() if level in ("BAD", "WARN")}
        found[page] = bad - EXPECTED.get(status, set())

    assert {page: notes for page, notes in found.items() if notes} == {}


def test_redbot_has_conditions_and_ranges_met(server: RundletServer):
    _, levels = judge(server.url + "/v1/kv/a")

    assert {note for note, level in levels.items() if level == "GOOD"} >= {
        "INM_304",
        "IMS_304",
        "RANGE_CORRECT",
    }


def judge(url: str) -> tuple[int, dict[str, str]]:
    """Return the status of an answer, and the level of each of the tool's notes on it."""
    done = subprocess.run(
        [REDBOT, "-o", "har", url], capture_output=True, check=True, timeout=PATIENCE_S
    )
    (entry, *_) = json.loads(done.stdout)["log"]["entries"]
    levels = {note["note_id"]: note["level"] for note in entry["_red_messages"]}
    return entry["response"]["status"], levels
