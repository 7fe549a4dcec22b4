"""Test the view of tokens: the first one, its secret, what it may do, its end."""

from __future__ import annotations

from pathlib import Path

from rundlet import Client
from tests.dashboard.conftest import address
from tests.dashboard.test_access import drop
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer


def test_first_token_is_confirmed_and_the_tab_goes_on_with_it(page: Page, tmp_path: Path):
    arguments = ("--data", tmp_path / "data", "--server", "granian", "--workers", "2")
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        page.open(address(server, "tokens"))
        page.wait_for_text("There is no authentication", ".tokens-view")
        page.click("New token", ".bar-row")
        page.fill("Name", "<b>ops</b>")
        page.click("Create", "dialog")
        page.wait_for_text("refuses every request without a token", "body")
        page.click("Turn it on")
        secret = page.wait_for("document.querySelector('.secret')?.textContent")
        page.click("Done")
        page.wait_for_text("<b>ops</b>", ".token-table")
        with Client(server.url, token=secret) as client:
            client.set("app/1", "x")

        page.click("New token", ".bar-row")
        page.fill("Name", "app")
        page.fill("Scope", "write")
        page.fill("Prefix", "app/")
        page.fill("Expires", "after")
        page.click("Create", "dialog")
        other = page.wait_for("document.querySelector('.secret')?.textContent")
        page.click("Done")
        page.wait_for_text("in 59 min", ".token-table")
        assert server.client.get("/v1").status_code == 401
        own = {"Authorization": f"Bearer {other}"}
        assert server.client.get("/v1/kv/app/1", headers=own).status_code == 200
        assert secret not in page.run("document.documentElement.outerHTML")

        page.click("Revoke app")
        page.click("Revoke", "dialog")
        page.wait_for("document.querySelectorAll('.token-table tbody tr').length === 1")
        assert server.client.get("/v1/kv/app/1", headers=own).status_code == 401
    drop(page, "ERR_")


def test_store_without_a_place_for_tokens_says_so(page: Page, tmp_path: Path):
    text = tmp_path / "words.txt"
    text.write_text("count 1\n")
    options = (text, "--any-key", "--read-only")
    with RundletServer(*options, stderr_path=tmp_path / "stderr") as server:
        page.open(address(server, "tokens"))

        page.wait_for_text("has no place for tokens", ".tokens-body")
    drop(page, "501", "ERR_")
