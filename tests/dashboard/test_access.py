"""Test the dashboard where not everything is allowed: tokens, and servers that only read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Chromium, Page
from tests.support.processes.servers import RundletServer

TEXT = "text/plain; charset=utf-8"


def token(data: Path, *options: str) -> str:
    command = [sys.executable, "-m", "rundlet_server", "token", "add", *options, "--data", data]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(word for word in made.split() if word.startswith("rundlet_"))


def drop(page: Page, *parts: str) -> None:
    """Take problems that a test expects from those of the page."""
    page.problems = [text for text in page.problems if not any(part in text for part in parts)]


def test_token_is_asked_for_and_kept_for_the_tab_only(
    chromium: Chromium, page: Page, tmp_path: Path
):
    data = tmp_path / "data"
    with RundletServer("--data", data, stderr_path=tmp_path / "stderr") as server:
        secret = token(data, "all", "--scope", "admin")
        with Client(server.url, token=secret) as client:
            client.set("private", "hidden", content_type=TEXT)
        page.open(address(server, key="private"))
        page.wait_for_text("This server needs a token. Enter one", "dialog")
        page.fill("Token", "rundlet_wrong")
        page.click("Use this token", "dialog")
        page.wait_for_text("does not know the token", "dialog")

        page.fill("Token", secret)
        page.click("Use this token", "dialog")
        page.wait_for_text("hidden", ".shown")

        assert page.run("sessionStorage.length") == 1
        assert secret not in page.run("JSON.stringify(localStorage) + document.cookie")
        assert secret not in page.run("document.documentElement.outerHTML + location.href")
        page.call("Page.reload")
        page.wait_for_text("hidden", ".shown")
        other = chromium.new_page()
        other.open(address(server))
        other.wait_for_text("This server needs a token. Enter one", "dialog")
        other.close()
    drop(page, "401", "ERR_")


def test_token_that_expires_is_asked_for_again(page: Page, tmp_path: Path):
    data = tmp_path / "data"
    with RundletServer("--data", data, stderr_path=tmp_path / "stderr") as server:
        lives_s, is_used = 4, False
        while not is_used:  # a busy machine may load the page too late
            name = f"short-{lives_s}"
            secret = token(data, name, "--scope", "write", "--expires", f"{lives_s}s")
            page.open(f"{server.url}/ui/")
            page.run(f"sessionStorage.setItem('rundlet-token', '{secret}')")
            page.call("Page.reload")
            shown = "document.querySelector('dialog[open], .message')?.innerText"
            found = page.wait_for(f"/No keys yet|has expired/.test({shown}) && {shown}")
            is_used = "No keys yet" in found
            lives_s *= 5

        page.run(f"new Promise((done) => setTimeout(done, {1_000 * lives_s // 5}))")
        page.fill("Prefix of the keys", "a")

        page.wait_for_text("has expired", "dialog")
    drop(page, "401", "ERR_")


def test_token_with_a_prefix_sees_its_keys(page: Page, tmp_path: Path):
    data = tmp_path / "data"
    with RundletServer("--data", data, stderr_path=tmp_path / "stderr") as server:
        whole = token(data, "all", "--scope", "admin")
        mine = token(data, "mine", "--scope", "write", "--prefix", "mine/")
        with Client(server.url, token=whole) as client:
            client.set("mine/a", "1", content_type=TEXT)
            client.set("theirs/a", "2", content_type=TEXT)
        page.open(f"{server.url}/ui/")
        page.run(f"sessionStorage.setItem('rundlet-token', '{mine}')")

        page.call("Page.reload")

        page.wait_for_text("1 key ·", ".summary")
        page.fill("Prefix of the keys", "theirs/")
        page.wait_for_text("limited to keys with the prefix 'mine/'", ".message")
    drop(page, "401", "403", "ERR_")


WRITING = ("New key", "Edit", "Delete", "Delete…", "Restore", "Save", "+ 1")


@pytest.mark.parametrize("form", ["folder", "file"])
def test_read_only_server_has_no_button_that_cannot_work(page: Page, tmp_path: Path, form: str):
    data = tmp_path / "data"
    first_life = RundletServer("--data", data, stderr_path=tmp_path / "first")
    with first_life as server, Client(server.url) as client:
        client.set("count", "1", content_type=TEXT)
    text = tmp_path / "words.txt"
    text.write_text("count 1\n")
    arguments = ("--data", data) if form == "folder" else (text, "--any-key")
    with RundletServer(*arguments, "--read-only", stderr_path=tmp_path / "second") as server:
        page.open(address(server, key="count"))
        page.wait_for_text("1", ".shown")

        labels = page.run(
            "[...document.querySelectorAll('button, input')].filter((e) => e.checkVisibility())"
            ".map((e) => e.textContent.trim() || e.ariaLabel)"
        )

        assert not {*labels} & {*WRITING}
        assert not [label for label in labels if label and label.startswith("Select ")]
        assert "read-only" in page.text(".server-status")
        page.open("about:blank")  # the page shall not see its server end
