"""Test the dashboard on a slow network and without one: what it shows, and what it sends."""

from __future__ import annotations

import pytest

from rundlet import Client, Put
from tests.dashboard.conftest import address
from tests.dashboard.test_changes import FEED
from tests.dashboard.test_keys import KEYS, SHOWN
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

TEXT = "text/plain; charset=utf-8"
# What Chromium's tools call "Slow 3G" has 2 s and 50 kB/s.
SLOW_3G = {"latency_s": 2.0, "bytes_s": 50_000}
SLOW = {"latency_s": 0.5}  # and no rate: other tests leave keys, which some views list
pytestmark = pytest.mark.usefixtures("without_cache")
BUSY = "document.querySelector('.main [aria-busy=true]')"


@pytest.fixture
def without_cache(page: Page) -> None:
    """The browser has the files of the dashboard from other tests, which would make it fast."""
    page.call("Network.setCacheDisabled", cacheDisabled=True)


def watch(page: Page, selector: str) -> None:
    """Note in ``window.wasSeen`` whether the page shows this, for however short a time."""
    page.run(watching(f"Boolean(document.querySelector({selector!r}))"))


def watching(condition: str) -> str:
    """Return a script that notes in ``window.wasSeen`` whether an expression is ever true."""
    return (
        f"window.wasSeen = false; new MutationObserver(() => {{ window.wasSeen ||= {condition}; }})"
        ".observe(document, {subtree: true, childList: true, attributes: true}); undefined"
    )


def without_network(page: Page) -> None:
    """Take the problems that a lost network makes from those of the page."""
    page.problems = [text for text in page.problems if "ERR_" not in text]


def sent(page: Page, method: str) -> list[str]:
    """The addresses of the requests with a method."""
    return [url for sent_by, url in page.sent if sent_by == method]


@pytest.mark.slow
def test_frame_is_there_before_the_list_on_slow_3g(
    server: RundletServer, client: Client, page: Page
):
    client.set("slow/1", "one", content_type=TEXT)
    page.throttle(**SLOW_3G)
    is_framed = f"document.querySelectorAll('.nav-item').length === 6 && Boolean({BUSY})"
    page.call("Page.addScriptToEvaluateOnNewDocument", source=watching(is_framed))
    page.call("Page.navigate", url=address(server, prefix="slow/"))

    page.wait_for(f"{SHOWN}.join() === 'slow/1'")
    assert page.run("window.wasSeen")
    assert not page.run(BUSY)


VIEWS = {
    "changes": ("Changes", "Live"),
    "deleted": ("Deleted", "deleted key"),
    "overview": ("Overview", "Ready"),
    "transfer": ("Import, export", "Drop a file here"),
    "tokens": ("Tokens", "no authentication"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_view_that_is_still_loading_does_not_keep_another_waiting(
    server: RundletServer, page: Page, view: str
):
    label, text = VIEWS[view]
    page.open(address(server))
    page.wait_for_text("revision", ".summary")
    page.throttle(**SLOW)
    watch(page, ".main [aria-busy=true]")

    page.click(label, ".nav")
    page.wait_for("window.wasSeen")
    page.click("Keys", ".nav")
    page.wait_for("document.querySelector('rundlet-keys')")
    page.click(label, ".nav")

    page.wait_for_text(text, ".main")
    assert page.run("document.querySelector('.main').children.length") == 1


def test_key_that_is_loading_says_so(server: RundletServer, client: Client, page: Page):
    client.set("slow-key", "the value", content_type=TEXT)
    page.open(address(server, prefix="slow-key"))
    page.wait_for(f"{KEYS}.length === 1")
    page.throttle(**SLOW)
    watch(page, ".pane [aria-busy=true]")

    page.run(f"{KEYS}[0].click()")

    page.wait_for_text("the value", ".pane")
    assert page.run("window.wasSeen")


def test_two_clicks_on_save_write_once(server: RundletServer, client: Client, page: Page):
    client.set("twice", "old", content_type=TEXT)
    page.open(address(server, key="twice", pane="edit"))
    page.fill("Value", "new")
    page.throttle(**SLOW)

    page.run(
        "(() => { const save = [...document.querySelectorAll('button')]"
        ".find((e) => e.textContent === 'Save'); save.click(); save.click(); })()"
    )
    page.wait_for_text("new", ".shown")

    assert len(sent(page, "PUT")) == 1
    assert client.get("twice").version == 2


def test_two_clicks_on_restore_restore_once(server: RundletServer, client: Client, page: Page):
    first = client.set("restored", "old", content_type=TEXT).revision
    client.set("restored", "new", content_type=TEXT)
    page.open(address(server, key="restored", pane="history"))
    page.wait_for_text("From revision", ".difference")
    page.throttle(**SLOW)

    label = f'[aria-label="Restore revision {first}"]'
    page.run(f"(() => {{ const e = document.querySelector('{label}'); e.click(); e.click(); }})()")
    page.wait_for_text("Restored revision", ".notices")

    assert len(sent(page, "POST")) == 1
    assert client.get("restored").version == 3


def test_every_click_of_a_counter_counts(server: RundletServer, client: Client, page: Page):
    client.set("clicks", "5", content_type=TEXT)
    page.open(address(server, key="clicks"))
    page.wait_for_text("5", ".shown")
    page.throttle(**SLOW)

    page.run(
        "(() => { const add = [...document.querySelectorAll('.counter button')][1];"
        " add.click(); add.click(); })()"
    )

    page.wait_for_text("7", ".shown")
    assert client.get("clicks").text == "7"


def test_feed_goes_on_without_a_loss_after_the_network_was_away(
    server: RundletServer, client: Client, page: Page
):
    page.open(address(server, "changes", prefix="away/"))
    page.wait_for_text("Live", ".summary")
    client.set("away/1", "1")
    page.wait_for(f"{FEED}.join() === 'put away/1'")

    page.throttle(is_offline=True)
    page.wait_for_text("Connecting", ".summary")
    client.txn([Put("away/2", b"2"), Put("away/3", b"3")])
    page.wait_for_text("The server does not answer", ".server-status")
    page.throttle()

    page.wait_for(f"{FEED}.join() === 'put away/3,put away/2,put away/1'")
    page.wait_for_text("Live", ".summary")
    without_network(page)


def test_text_that_could_not_be_saved_is_saved_when_the_network_is_back(
    server: RundletServer, client: Client, page: Page
):
    client.set("kept-text", "old", content_type=TEXT)
    page.open(address(server, key="kept-text", pane="edit"))
    page.fill("Value", "written while offline")
    page.throttle(is_offline=True)
    page.click("Save")
    page.wait_for_text("The server does not answer", ".editor .problem")

    page.throttle()
    page.click("Save")

    page.wait_for_text("written while offline", ".shown")
    assert client.get("kept-text").version == 2
    without_network(page)


def test_list_that_did_not_come_is_tried_again(server: RundletServer, client: Client, page: Page):
    client.set("later/1", "1")
    page.open(address(server))
    page.wait_for_text("revision", ".summary")
    page.throttle(is_offline=True)
    page.fill("Prefix of the keys", "later/")
    page.wait_for_text("No answer", ".message")

    page.throttle()

    page.wait_for(f"{SHOWN}.join() === 'later/1'")
    without_network(page)
