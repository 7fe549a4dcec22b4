"""Test the view of the server: figures, charts, readiness, upkeep."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Page
from tests.support.disks.removal import remove_in_use
from tests.support.processes.servers import RundletServer, wait_for_processes

TILES = "[...document.querySelectorAll('.tile')].map((e) => e.innerText.replaceAll('\\n', ' '))"


def test_figures_are_those_of_the_server(any_server: RundletServer, page: Page):
    with Client(any_server.url) as client:
        client.set("overview/1", "12345")
        page.open(address(any_server, "overview"))
        page.wait_for_text("Ready: the store reads and writes", ".overview")

        stats = client.stats()

    tiles = page.run(TILES)
    assert any(tile.startswith(f"Keys {stats['keys']:,}") for tile in tiles), tiles
    assert any(tile.startswith("Disk free") for tile in tiles)
    assert "worker" in page.text(".small-table")


def test_figures_come_without_an_error_before_them(server: RundletServer, page: Page):
    failed = "/No answer/.test(document.body.innerText)"
    page.open(address(server, "overview"))
    page.wait_for(f"document.querySelector('.tile') || {failed}")

    assert not page.run(failed)


def test_charts_show_what_others_ask_and_not_the_dashboard(
    server: RundletServer, client: Client, page: Page
):
    page.open(address(server, "overview"))
    # What tests before have asked for, such as a feed whose end is noticed late, counts at first.
    legend = "document.querySelector('.legend')?.innerText"
    page.wait_for(f"/reads 0\\b/.test({legend}) && /others 0\\b/.test({legend})")

    for number in range(200):
        client.get(f"nothing/{number}")

    page.wait_for("/reads [1-9]/.test(document.querySelector('.legend').innerText)")
    assert page.run("document.querySelector('.line-a').getAttribute('d').length") > 10


def test_compaction_is_started_and_followed_to_its_end(
    server: RundletServer, client: Client, page: Page
):
    for _ in range(20):
        client.set("overview/big", b"x" * 50_000)
    page.open(address(server, "overview"))
    page.click("Compact now…")
    page.click("Compact", "dialog")

    page.wait_for_text("Compaction", ".notices")


def test_backup_is_followed_while_its_files_are_sent(server: RundletServer, page: Page):
    page.open(address(server, "overview"))
    page.wait_for_text("Backups", ".overview")
    backup = server.client.post("/v1/backup").json()
    place = f"/v1/backup/{backup['id']}"
    page.wait_for_text("A backup is being taken: 0 B so far", ".backup-progress")

    sizes = [len(server.client.get(f"{place}/{file['name']}").content) for file in backup["files"]]
    page.wait_for("!document.querySelector('.backup-progress').innerText.includes(': 0 B')")
    server.client.delete(place)

    page.wait_for_text("A backup ended:", ".notices")
    page.wait_for_text("1 ended of 1", ".plain-facts:has(+ *)")
    assert sum(sizes) > 0
    assert page.text(".backup-progress") == ""


def test_faults_are_counted_by_kind(page: Page, tmp_path: Path):
    options = ("--data", tmp_path / "data", "--tokens", tmp_path / "tokens")
    with RundletServer(*options, stderr_path=tmp_path / "stderr") as server:
        page.open(address(server, "overview"))
        page.wait_for_text("None.", ".overview")
        made = server.client.post("/v1/tokens", json={"name": "me", "scope": "admin"}).json()
        assert server.client.get("/v1/keys").status_code == 401

        page.run(f"sessionStorage.setItem('rundlet-token', {made['token']!r})")
        page.call("Page.reload")

        page.wait_for_text("Refused: token missing or not sufficient", ".overview")
    page.problems = [text for text in page.problems if "401" not in text and "ERR_" not in text]


def test_reasons_are_shown_when_the_server_is_not_ready(page: Page, tmp_path: Path):
    data = tmp_path / "data"
    with contextlib.ExitStack() as stack:
        options = ("--data", data, "--tokens", tmp_path / "tokens")
        server = stack.enter_context(RundletServer(*options, stderr_path=tmp_path / "stderr"))
        page.open(address(server, "overview"))
        page.wait_for_text("Ready", ".overview")
        wait_for_processes(server)

        remove_in_use(data)

        page.wait_for_text("Not ready", ".overview")
        assert page.run("document.querySelectorAll('.reasons li').length") > 0
    page.problems = [text for text in page.problems if "50" not in text and "ERR_" not in text]
