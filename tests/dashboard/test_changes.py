"""Test the live feed of the dashboard: pause, filters, a server that restarts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from rundlet import Client, Delete, Put
from tests.dashboard.conftest import SERVERS, address
from tests.support.browser.chromium import Chromium, Page
from tests.support.processes.servers import RundletServer, free_port

FEED = (
    "[...document.querySelectorAll('.feed tbody tr:not([hidden])')]"
    ".map((e) => e.querySelector('.op').textContent + ' ' + e.querySelector('.key').textContent)"
)


def test_changes_appear_as_they_happen(any_server: RundletServer, page: Page):
    with Client(any_server.url) as client:
        page.open(address(any_server, "changes", prefix="live/"))
        page.wait_for_text("Live", ".summary")

        client.txn([Put("live/<b>", b"1"), Put("other", b"2")])
        client.delete("live/<b>")

    page.wait_for(f"{FEED}.join() === 'delete live/<b>,put live/<b>'")


def test_feed_pauses_without_a_loss_and_filters(server: RundletServer, client: Client, page: Page):
    page.open(address(server, "changes", prefix="pause/"))
    page.wait_for_text("Live", ".summary")
    page.press("p")
    client.txn([Put("pause/1", b"1"), Put("pause/2", b"2")])
    client.txn([Delete("pause/1")])
    page.wait_for_text("Go on (3)", ".bar-row")
    assert page.run(FEED) == []

    page.press("p")

    page.wait_for(f"{FEED}.join() === 'delete pause/1,put pause/2,put pause/1'")
    page.click("delete", ".segments")
    page.wait_for(f"{FEED}.join() === 'put pause/2,put pause/1'")


def test_feed_of_the_past_is_shown_from_its_revision(
    server: RundletServer, client: Client, page: Page
):
    first = client.set("since/1", "1").revision
    client.set("since/2", "2")

    page.open(address(server, "changes", prefix="since/", since=first))

    page.wait_for(f"{FEED}.join() === 'put since/2'")


@pytest.mark.parametrize("server_name", SERVERS)
def test_dashboard_goes_on_after_a_restart(chromium: Chromium, tmp_path: Path, server_name: str):
    arguments = ("--data", tmp_path / "data", "--port", str(free_port()), "--server", server_name)
    with contextlib.ExitStack() as stack:
        first_life = stack.enter_context(RundletServer(*arguments, stderr_path=tmp_path / "first"))
        client = stack.enter_context(Client(first_life.url))
        page = chromium.new_page()
        stack.callback(page.close)
        page.open(address(first_life, "changes", prefix="life/"))
        page.wait_for_text("Live", ".summary")
        client.set("life/1", "1")
        page.wait_for(f"{FEED}.join() === 'put life/1'")
        first_life.stop()
        page.wait_for_text("The server does not answer", ".server-status")

        stack.enter_context(RundletServer(*arguments, stderr_path=tmp_path / "second"))
        client.set("life/2", "2")

        page.wait_for(f"{FEED}.join() === 'put life/2,put life/1'")
        page.wait_for_text("log", ".server-status")
