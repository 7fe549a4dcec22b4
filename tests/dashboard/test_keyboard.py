"""Test the main tasks with the keyboard alone, and what a screen reader finds on their way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rundlet import Client
from tests.dashboard.conftest import address
from tests.dashboard.test_keys import SHOWN
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer, wait_for

TEXT = "text/plain; charset=utf-8"
TABS_MAX = 60
FOCUSED = (
    "(() => { const e = document.activeElement; const label = e.closest('label');"
    " return e.ariaLabel || label?.querySelector('.field-label')?.textContent"
    " || e.textContent.trim(); })()"
)
# The focus has to be seen: an outline, of the element or of the row that it stands for.
IS_SEEN = (
    "[document.activeElement, document.querySelector('.is-active')].some((e) => e &&"
    " getComputedStyle(e).outlineStyle !== 'none')"
)
CONTROLS = re.compile(
    "(button|link|textbox|searchbox|combobox|checkbox|radio|slider|spinbutton|menuitem|grid)"
)


def tab_to(page: Page, label: str) -> None:
    """Press Tab until what has this label has the focus, and is seen to have it."""
    passed = []
    for _ in range(TABS_MAX):
        page.press("Tab")
        passed.append(page.run(FOCUSED))
        if passed[-1] == label:
            assert page.run(IS_SEEN), f"the focus on {label!r} is not seen"
            return
    raise AssertionError(f"Tab does not come to {label!r}: {passed}")


def go_to(page: Page, view: str) -> None:
    """Open a view by its link in the navigation."""
    page.run("document.activeElement.blur()")
    tab_to(page, view)
    page.press("Enter")


def assert_all_is_named(page: Page) -> list[str]:
    """Return what a screen reader finds, of which every control must have a name."""
    spoken = page.spoken()
    assert [each for each in spoken if CONTROLS.fullmatch(each)] == []
    return spoken


def test_key_is_found_and_read(server: RundletServer, client: Client, page: Page):
    for n in range(3):
        client.set(f"kb/{n}", f"value {n}", content_type=TEXT)
    page.open(address(server))
    page.wait_for_text("revision", ".summary")

    page.press("/")
    page.type("kb/")
    page.wait_for(f"{SHOWN}.join() === 'kb/0,kb/1,kb/2'")
    page.press("Escape")
    page.press("j")
    page.press("j")
    page.wait_for("document.activeElement.getAttribute('aria-activedescendant') === 'row-1'")
    page.wait_for(IS_SEEN)
    page.press("Enter")
    page.wait_for_text("value 1", ".shown")

    spoken = assert_all_is_named(page)
    assert "grid Keys" in spoken
    assert "checkbox Select kb/1" in spoken
    assert "gridcell kb/1" in spoken
    assert "region Key kb/1" in spoken
    assert "heading kb/1" in spoken
    assert "status" in spoken


def test_conflict_is_decided(server: RundletServer, client: Client, page: Page):
    client.set("kb-edit", "base", content_type=TEXT)
    page.open(address(server, prefix="kb-edit", key="kb-edit"))
    page.wait_for_text("base", ".shown")

    page.press("e")
    page.wait_for("document.activeElement.ariaLabel === 'Value'")
    page.run("document.activeElement.select()")
    page.type("mine")
    client.set("kb-edit", "theirs", content_type=TEXT)
    page.press("Enter", with_control=True)
    page.wait_for("document.querySelector('.conflict')?.contains(document.activeElement)")

    spoken = assert_all_is_named(page)
    assert "alert" in spoken
    assert {"heading Theirs", "heading Base", "heading Yours"} <= {*spoken}
    page.run("document.querySelector('.conflict h3').tabIndex = -1")
    page.run("document.querySelector('.conflict h3').focus()")
    tab_to(page, "Replace theirs with mine")
    page.press("Enter")

    page.wait_for_text("mine", ".shown")
    assert client.get("kb-edit").text == "mine"
    page.problems = [text for text in page.problems if "412" not in text]


def test_version_is_restored(server: RundletServer, client: Client, page: Page):
    first = client.set("kb-past", "old", content_type=TEXT).revision
    client.set("kb-past", "new", content_type=TEXT)
    page.open(address(server, prefix="kb-past", key="kb-past"))
    page.wait_for_text("new", ".shown")

    page.press("h")
    page.wait_for_text("From revision", ".difference")
    spoken = assert_all_is_named(page)
    assert f"radio Compare from revision {first}" in spoken
    tab_to(page, f"Restore revision {first}")
    page.press("Enter")

    page.wait_for_text("Restored revision", ".notices")
    assert client.get("kb-past").text == "old"


def test_file_is_imported(server: RundletServer, client: Client, page: Page, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"key": "kb-import", "text": "1"}) + "\n")
    page.open(address(server))
    page.wait_for_text("revision", ".summary")
    go_to(page, "Import, export")
    page.wait_for_text("Drop a file here", ".main")

    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    tab_to(
        page,
        "Drop a file here, or choose oneJSON lines, CSV, a CBOR sequence, or lines of"
        " text; each may be compressed with gzip.",
    )
    page.press("Enter")
    page.choose("File to import", path)
    page.wait_for_text("none of them bad", ".import-place")
    assert_all_is_named(page)
    tab_to(page, "Import")
    page.press("Enter")

    page.wait_for_text("Imported 1 key", ".import-place")
    assert client.get("kb-import").text == "1"


def test_first_token_is_made(page: Page, tmp_path: Path):
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        page.open(address(server))
        page.wait_for_text("revision", ".summary")
        go_to(page, "Tokens")
        page.wait_for_text("There is no authentication", ".main")
        tab_to(page, "New token")
        page.press("Enter")
        page.wait_for("document.querySelector('dialog')?.contains(document.activeElement)")
        assert "dialog New token" in assert_all_is_named(page)

        page.type("keyboard")
        page.press("Enter")
        page.wait_for_text("Turn authentication on?", "dialog:last-of-type")
        tab_to(page, "Turn it on")
        page.press("Enter")
        page.wait_for_text("Copy the secret now", "dialog:last-of-type")
        tab_to(page, "Done")
        page.press("Enter")

        page.wait_for_text("keyboard", ".token-table")
        tokens = wait_for(lambda: page.run("sessionStorage.getItem('rundlet-token')"))
        assert tokens.startswith("rundlet_")
    page.problems = [text for text in page.problems if "ERR_" not in text]


@pytest.mark.parametrize("view", ["changes", "deleted", "overview", "transfer", "tokens"])
def test_every_control_of_a_view_has_a_name(
    server: RundletServer, client: Client, page: Page, view: str
):
    client.set("named", "1")
    client.delete("named")
    page.open(address(server, view))
    page.wait_for(f"document.querySelector('rundlet-{view} .copy-as')")

    spoken = assert_all_is_named(page)

    assert "main" in spoken
    assert "navigation Views" in spoken
