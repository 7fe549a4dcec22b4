"""Test whole servers by the command of schemathesis, as a user of the API runs it.

All checks and all phases are on, along the links too, and requests need a token, so that the tool
also tries whether each operation can be had without. ``test_openapi_fuzz`` has the same over a
model of the store, where more requests fit into a second.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.campaign import Campaign
from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, connect, start
from tests.support.programs import program
from tests.support.wire.schemathesis_hooks import KEY

pytest.importorskip("granian")

EXAMPLES_SHORT = 8
EXAMPLES_LONG = 100
"""Random requests of each operation, and walks along links; the boundaries of all come besides."""
ACCEPTED_SHARE_MIN = 0.6
"""Of the requests that the document allows; the others meet a store that has no such thing."""


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS, ids=SERVER_NAMES)
def test_every_answer_is_one_that_the_document_tells(
    tmp_path: Path, server: tuple[str, ...], campaign: Campaign
):
    for _ in campaign.rounds(1):
        check_answers(tmp_path, server, campaign, EXAMPLES_SHORT)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("server", SERVERS, ids=SERVER_NAMES)
def test_every_answer_is_one_that_the_document_tells_for_long(
    tmp_path: Path, server: tuple[str, ...], campaign: Campaign
):
    for _ in campaign.rounds():
        folder = tmp_path / str(campaign.seed)
        folder.mkdir()
        check_answers(folder, server, campaign, EXAMPLES_LONG)


def check_answers(
    folder: Path, options: tuple[str, ...], campaign: Campaign, examples: int
) -> None:
    with start(folder, *options, "--sync", "never") as server, connect(server) as connection:
        connection.ask("PUT", f"/v1/kv/{KEY}", b"value")
        token = connection.send("/v1/tokens", {"name": "all", "scope": "admin"}).json["token"]
        printed, report = run_tool(
            folder, server.url, "-H", f"Authorization: Bearer {token}", "-n", str(examples),
            "--seed", str(campaign.seed),
        )  # fmt: skip

    assert (report["failures"], report["errors"]) == ([], []), printed
    for phase in ("coverage", "fuzzing", "stateful"):
        assert report["phases"][phase]["status"] == "success", printed
    assert report["operations"]["tested"] == report["operations"]["total"] > 40, printed
    links = re.search(r"API Links: +(\d+) covered", printed)
    assert links is not None, printed
    assert int(links[1]) > 3, printed
    campaign.count("links", int(links[1]))
    check_rates(report["valid_rates"], campaign)


def run_tool(folder: Path, url: str, *options: str) -> tuple[str, dict]:
    """Return what the tool prints, and its report."""
    path = folder / "report.json"
    done = subprocess.run(
        [
            *(program("schemathesis"), "--config-file", str(ROOT / "schemathesis.toml"), "run"),
            *(f"{url}/openapi.json", "--checks", "all"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure"),
            *("--generation-database", "none", "--no-color"),
            *("--report", "json", "--report-json-path", str(path)),
            *options,
        ],
        cwd=folder,  # where it keeps what it found
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.stdout, json.loads(path.read_text())


def check_rates(rates: dict[str, dict[str, dict[str, int]]], campaign: Campaign) -> None:
    """Check that requests that the document allows mostly succeed: else little was tried."""
    total = accepted = 0
    for operation, phases in rates.items():
        succeeded = sum(each["accepted"] for each in phases.values())
        # Erasing a key ends the backups that hold it, as soon as maintenance gets there.
        may_be_gone = "/v1/backup/{id}" in operation
        assert succeeded or may_be_gone, f"no request to {operation} succeeded"
        accepted += succeeded
        total += sum(sum(each.values()) for each in phases.values())
    campaign.count("requests that the document allows", total)
    campaign.count("of them accepted", accepted)
    assert accepted >= ACCEPTED_SHARE_MIN * total
