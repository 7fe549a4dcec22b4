"""Test how many bytes of the dashboard a browser loads: for the first view, and for all of them."""

from __future__ import annotations

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

FIRST_SENT_BYTES_MAX = 35_000
FIRST_BYTES_MAX = 95_000
ALL_SENT_BYTES_MAX = 100_000
TEXT = "text/plain; charset=utf-8"


def loaded(page: Page) -> tuple[int, int]:
    """The bytes of the page and its files: as they were sent, and as the browser unpacked them."""
    sent, unpacked = page.run(
        "(() => { const all = [...performance.getEntriesByType('resource'),"
        " ...performance.getEntriesByType('navigation')]"
        ".filter((e) => e.name.includes('/ui/'));"
        " const sum = (of) => all.reduce((total, e) => total + of(e), 0);"
        " return [sum((e) => e.encodedBodySize), sum((e) => e.decodedBodySize)]; })()"
    )
    return sent, unpacked


def test_first_view_loads_little(server: RundletServer, page: Page):
    page.open(address(server, prefix="no-key-at-all/"))
    page.wait_for_text("No keys with this prefix", ".message")

    sent, unpacked = loaded(page)

    assert 10_000 < sent < FIRST_SENT_BYTES_MAX
    assert sent < unpacked < FIRST_BYTES_MAX
    assert all(url.startswith(server.url) for url in page.requests if url[:4] == "http")


def test_all_views_together_load_little(server: RundletServer, client: Client, page: Page):
    client.set("size/text", "one", content_type=TEXT)
    client.set("size/text", "two", content_type=TEXT)
    page.open(address(server, prefix="size/", key="size/text"))
    page.wait_for_text("two", ".shown")
    for pane, shown in (("edit", "textarea"), ("history", ".diff")):
        page.run(f"location.hash = '#/keys?prefix=size/&key=size/text&pane={pane}'")
        page.wait_for(f"document.querySelector('{shown}')")
    page.click("Copy as", ".pane")
    page.wait_for("document.querySelector('.menu:popover-open')")
    for view in ("changes", "deleted", "overview", "transfer", "tokens"):
        page.run(f"location.hash = '#/{view}'")
        page.wait_for(f"document.querySelector('rundlet-{view} .copy-as')")

    sent, unpacked = loaded(page)

    assert unpacked > FIRST_BYTES_MAX
    assert sent < ALL_SENT_BYTES_MAX
