"""Test the editor: what it stores, what it refuses, and that it never overwrites unseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Chromium, Page
from tests.support.processes.servers import RundletServer

TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def other_page(chromium: Chromium) -> Iterator[Page]:
    opened = chromium.new_page()
    yield opened
    opened.close()


def test_text_is_edited_with_its_type(any_server: RundletServer, page: Page):
    with Client(any_server.url) as client:
        client.set("doc", "before", content_type=TEXT)
        page.open(address(any_server, key="doc"))
        page.wait_for_text("before", ".shown")
        page.press("e")
        page.fill("Value", "after ✓")
        page.click("Save")
        page.wait_for_text("after ✓", ".shown")

        value = client.get("doc")

    assert value is not None
    assert (value.text, value.content_type, value.version) == ("after ✓", TEXT, 2)


def test_new_key_is_created_and_an_existing_one_is_not_replaced(
    server: RundletServer, client: Client, page: Page
):
    client.set("taken", "mine", content_type=TEXT)
    page.open(address(server, new=1))
    page.fill("Key", "fresh/key")
    page.fill("Value", "hello")
    page.click("Save")
    page.wait_for_text("hello", ".shown")

    page.open(address(server, new=1, prefix="taken"))
    page.fill("Value", "yours")
    page.click("Save")
    page.wait_for_text("This key was changed since you opened it", ".conflict")

    assert client.get("taken").text == "mine"
    page.problems = [text for text in page.problems if "412" not in text]


def test_two_tabs_that_edit_one_key_see_each_other(
    server: RundletServer, client: Client, page: Page, other_page: Page
):
    client.set("shared", "one\ntwo\nthree", content_type=TEXT)
    for tab in (page, other_page):
        tab.open(address(server, key="shared", pane="edit"))
        tab.wait_for("document.querySelector('textarea')?.value.includes('two')")
    other_page.fill("Value", "one\nTWO of theirs\nthree")
    other_page.click("Save")
    other_page.wait_for_text("TWO of theirs", ".shown")

    page.fill("Value", "one\ntwo\nthree of mine")
    page.click("Save")
    page.wait_for_text("This key was changed", ".conflict")

    theirs, base, yours = page.run(
        "[...document.querySelectorAll('.column')].map((e) => e.innerText)"
    )
    assert "TWO of theirs" in theirs
    assert "one\ntwo\nthree" in base
    assert "three of mine" in yours
    assert client.get("shared").text == "one\nTWO of theirs\nthree"
    page.click("Replace theirs with mine")
    page.wait_for_text("three of mine", ".shown")
    assert client.get("shared").text == "one\ntwo\nthree of mine"
    page.problems = [text for text in page.problems if "412" not in text]


def test_conflict_is_edited_on_top_of_theirs(server: RundletServer, client: Client, page: Page):
    client.set("merge", "base", content_type=TEXT)
    page.open(address(server, key="merge", pane="edit"))
    page.fill("Value", "mine")
    client.set("merge", "theirs", content_type=TEXT)
    page.click("Save")
    page.click("Edit mine on top of theirs")

    page.fill("Value", "theirs and mine")
    page.click("Save")

    page.wait_for_text("theirs and mine", ".shown")
    assert client.get("merge").version == 3
    page.problems = [text for text in page.problems if "412" not in text]


def test_deleted_key_is_a_conflict_too(server: RundletServer, client: Client, page: Page):
    client.set("gone", "base", content_type=TEXT)
    page.open(address(server, key="gone", pane="edit"))
    page.fill("Value", "mine")
    client.delete("gone")
    page.click("Save")
    page.wait_for_text("Deleted meanwhile", ".conflict")

    assert client.get("gone") is None
    page.click("Create it again with mine")
    page.wait_for_text("mine", ".shown")
    page.problems = [t for t in page.problems if "412" not in t and "404" not in t]


def test_invalid_json_cannot_be_saved(server: RundletServer, client: Client, page: Page):
    client.set("json", '{"n":12345678901234567890}', content_type="application/json")
    page.open(address(server, key="json", pane="edit"))
    page.fill("Value", '{"n": 1,}')
    page.wait_for_text("Not valid JSON", ".editor")
    assert page.run("document.querySelector('.editor .primary').disabled")

    page.fill("Value", '{"n":12345678901234567890}')
    page.click("Format")
    page.click("Save")

    page.wait_for("location.hash.endsWith('key=json')")
    assert client.get("json").text == '{\n  "n": 12345678901234567890\n}'


def test_value_expires_as_it_was_asked(server: RundletServer, client: Client, page: Page):
    client.set("ttl", "x", content_type=TEXT)
    page.open(address(server, key="ttl", pane="edit"))
    page.fill("Expires", "after")
    page.fill("Time to live", "2")
    page.click("Save")
    page.wait_for_text("in 1 h 59 min", ".facts")

    page.press("e")
    page.fill("Value", "still expires")
    page.click("Save")

    page.wait_for_text("still expires", ".shown")
    page.wait_for_text("in 1 h 59 min", ".facts")


def test_counter_is_counted_on_the_server(server: RundletServer, client: Client, page: Page):
    client.set("count", "41", content_type=TEXT)
    page.open(address(server, key="count"))
    page.wait_for_text("41", ".shown")
    client.set("count", "99", content_type=TEXT)

    page.click("+ 1")

    page.wait_for_text("100", ".shown")
    assert client.get("count").text == "100"


def test_key_is_deleted_as_it_was_seen(server: RundletServer, client: Client, page: Page):
    client.set("seen", "1", content_type=TEXT)
    page.open(address(server, key="seen"))
    page.wait_for_text("1", ".shown")
    client.set("seen", "2", content_type=TEXT)
    page.click("Delete", ".pane")
    page.click("Delete", "dialog")
    page.wait_for_text("2", ".shown")
    assert client.get("seen") is not None

    page.click("Delete", ".pane")
    page.click("Delete", "dialog")

    page.wait_for("document.querySelector('.pane').hidden")
    assert client.get("seen") is None
    page.problems = [text for text in page.problems if "412" not in text]


def test_metadata_is_shown_and_kept_by_an_edit(server: RundletServer, page: Page):
    headers = {"KV-Meta-Author": "ann", "Content-Type": TEXT}
    server.client.put("/v1/kv/with/meta", content=b"before", headers=headers)
    page.open(address(server, key="with/meta"))
    page.wait_for_text("ann", ".facts")
    page.press("e")
    page.fill("Value", "after")
    page.click("Save")
    page.wait_for_text("after", ".shown")

    assert server.client.get("/v1/kv/with/meta").headers["KV-Meta-Author"] == "ann"


def test_unsaved_changes_are_there_again_and_still_conflict(
    server: RundletServer, client: Client, page: Page
):
    client.set("draft", "base", content_type=TEXT)
    page.open(address(server, key="draft", pane="edit"))
    page.fill("Value", "my draft")
    page.press("Escape")
    page.open(address(server, key="elsewhere"))
    page.wait_for_text("No value", ".pane")
    client.set("draft", "theirs", content_type=TEXT)

    page.open(address(server, key="draft", pane="edit"))
    page.wait_for_text("These changes are not saved yet", ".editor")
    assert page.run("document.querySelector('textarea').value") == "my draft"
    page.click("Save")

    page.wait_for_text("This key was changed", ".conflict")
    assert client.get("draft").text == "theirs"
    page.click("Take theirs")
    page.wait_for_text("theirs", ".shown")
    page.problems = [t for t in page.problems if "412" not in t and "404" not in t]
