"""Test what the dashboard shows of the past: versions, deleted keys, the store as it was."""

from __future__ import annotations

from rundlet import Client
from tests.dashboard.conftest import address
from tests.dashboard.test_keys import KEYS, SHOWN
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

TEXT = "text/plain; charset=utf-8"


def test_versions_are_compared_and_one_is_restored(
    server: RundletServer, client: Client, page: Page
):
    for text in ("same\nfirst value\n", "same\nsecond value\n", "same\nthird value\n"):
        client.set("story", text, content_type=TEXT)
    page.open(address(server, key="story", pane="history"))
    page.wait_for_text("third", ".difference")
    oldest = min(version.revision for version in client.history("story"))

    page.click(f"Compare from revision {oldest}")
    page.wait_for_text("first", ".difference")
    words = "[...document.querySelectorAll('.diff mark')].map((e) => e.textContent)"
    assert page.run(words) == ["first", "third"]
    page.click(f"Restore revision {oldest}")

    page.wait_for("document.querySelector('.versions .op').textContent === 'restore'")
    assert client.get("story").text == "same\nfirst value\n"


def test_bytes_are_compared_by_size_and_hash(server: RundletServer, client: Client, page: Page):
    client.set("blob", b"\xff\x00")
    client.set("blob", b"\xff\x00\x01")

    page.open(address(server, key="blob", pane="history"))

    page.wait_for_text("3 bytes", ".hashes")
    assert page.run("document.querySelectorAll('.hashes td.mono')[0].textContent.length") == 64


def test_restore_of_a_key_that_was_changed_since_does_nothing(
    server: RundletServer, client: Client, page: Page
):
    client.set("raced", "1", content_type=TEXT)
    first = client.get("raced").revision
    client.set("raced", "2", content_type=TEXT)
    page.open(address(server, key="raced", pane="history"))
    page.wait_for("document.querySelectorAll('.versions tbody tr').length === 2")
    client.set("raced", "3", content_type=TEXT)

    page.click(f"Restore revision {first}")

    page.wait_for_text("nothing was restored", ".notices")
    page.wait_for("document.querySelectorAll('.versions tbody tr').length === 3")
    assert client.get("raced").text == "3"
    page.problems = [text for text in page.problems if "409" not in text]


def test_deleted_keys_are_listed_and_brought_back(
    server: RundletServer, client: Client, page: Page
):
    for key in ("bin/a", "bin/b<script>", "bin/alive"):
        client.set(key, f"value of {key}", content_type=TEXT)
    for key in ("bin/a", "bin/b<script>"):
        client.delete(key)
    page.open(address(server, "deleted", prefix="bin/"))
    page.wait_for_text("2 deleted keys", ".summary")

    page.click("Bring back bin/b<script>")

    page.wait_for_text("1 deleted key since", ".summary")
    assert client.get("bin/b<script>").text == "value of bin/b<script>"
    assert client.get("bin/a") is None


def test_browser_is_put_at_a_revision_and_a_time(server: RundletServer, client: Client, page: Page):
    client.set("then/a", "old", content_type=TEXT)
    revision = client.get("then/a").revision
    client.set("then/a", "new", content_type=TEXT)
    client.set("then/b", "later", content_type=TEXT)
    page.open(address(server, prefix="then/"))
    page.wait_for(f"{SHOWN}.join() === 'then/a,then/b'")

    page.press("t")
    page.wait_for("Number(document.querySelector('.slider').max) > 2")
    page.fill("Revision", str(revision))

    page.wait_for(f"{SHOWN}.join() === 'then/a'")
    page.run(f"{KEYS}[0].click()")
    page.wait_for_text("old", ".shown")
    assert "Edit" not in page.text(".pane-tools")
    assert page.run(f"location.hash.includes('rev={revision}')")
    page.call("Page.reload")
    page.wait_for_text("old", ".shown")
    page.click("Back to now")
    page.wait_for_text("new", ".shown")
