"""Test the tour of an empty store: its commands work, it follows them, and it loads sample data."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet import Client
from rundlet_server.functions.ui.samples import read_samples
from tests.dashboard.conftest import address, serving
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

COMMANDS = "[...document.querySelectorAll('.tour-command code')].map((e) => e.textContent)"
DONE = "document.querySelectorAll('.tour-step[data-done=true]').length"


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    yield from serving(tmp_path_factory)


def test_tour_follows_its_commands_and_ends_in_the_history(empty: RundletServer, page: Page):
    page.open(address(empty))
    page.wait_for_text("Store a value", ".tour")
    first, second, third = page.run(COMMANDS)

    for number, command in enumerate((first, second), 1):
        subprocess.run(["bash", "-c", command], check=True, capture_output=True)
        page.wait_for(f"{DONE} === {number}")
        page.wait_for_text(f"1 key · revision {number}", ".summary")
    listed = subprocess.run(["bash", "-c", third], check=True, capture_output=True)
    page.click("Open the history here")

    assert listed.stdout.count(b'"op":"put"') == 2
    page.wait_for_text("welcome", ".difference")


def test_tour_loads_the_samples_and_opens_what_explains_them(empty: RundletServer, page: Page):
    samples = read_samples()
    page.open(address(empty))
    page.wait_for_text("Store a value", ".tour")

    page.click("Load sample data")

    page.wait_for_text("All of its keys begin with demo/", ".pane")
    with Client(empty.url) as client:
        assert client.info()["revision"] == len(samples["steps"])
        assert client.get(samples["marker"]) is not None


def test_tour_ends_when_another_client_stores_a_key(empty: RundletServer, page: Page):
    page.open(address(empty))
    page.wait_for_text("Store a value", ".tour")

    with Client(empty.url) as client:
        client.set("other", "1")

    page.wait_for("document.querySelector('.tour') === null")
    page.wait_for_text("other", ".table-canvas")


def test_server_without_writes_shows_no_tour(tmp_path: Path, page: Page):
    place = ("--data", tmp_path / "data")
    with RundletServer(*place, stderr_path=tmp_path / "first"):
        pass

    with RundletServer(*place, "--read-only", stderr_path=tmp_path / "stderr") as server:
        page.open(address(server))
        page.wait_for_text("No keys yet", ".message")

        assert page.run("document.querySelector('.tour') === null")
        page.open("about:blank")
