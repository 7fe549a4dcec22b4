"""Test the dashboard by the rules of axe-core: light and dark, wide and narrow, hostile data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rundlet import Client, Put
from tests.dashboard.conftest import address
from tests.support import ROOT
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

AXE = ROOT / ".tools/axe-core/axe.min.js"
TEXT = "text/plain; charset=utf-8"

needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed (scripts/install-axe)"
)

VIEWS = {
    "list": ("keys", {"prefix": "axe/"}, ".table-row .key bdi"),
    "tree": ("keys", {"tree": 1}, ".folder-count"),
    "empty": ("keys", {"prefix": "no-such-key"}, ".empty"),
    "value": ("keys", {"prefix": "axe/", "key": "axe/json"}, ".json-name"),
    "bytes": ("keys", {"key": "axe/bytes"}, ".hex"),
    "edit": ("keys", {"key": "axe/text", "pane": "edit"}, "textarea"),
    "new": ("keys", {"new": 1}, "textarea"),
    "history": ("keys", {"key": "axe/text", "pane": "history"}, ".diff"),
    "past": ("keys", {"past": 1, "prefix": "axe/"}, ".slider"),
    "changes": ("changes", {"since": 0, "prefix": "axe/"}, ".feed tbody tr"),
    "deleted": ("deleted", {"prefix": "axe/"}, ".feed tbody tr"),
    "overview": ("overview", {}, ".small-table"),
    "transfer": ("transfer", {}, ".drop"),
    "tokens": ("tokens", {}, ".tokens-body .empty"),
}


@pytest.fixture(scope="module")
def filled(server: RundletServer) -> RundletServer:
    with Client(server.url) as client:
        client.txn([Put("axe/<script>", b"1"), Put("axe/\u202ertl", b"2"), Put("axe/x\x00", b"")])
        body = json.dumps({"a": [1, True, None], "b": "text"})
        client.set("axe/json", body, content_type="application/json")
        client.set("axe/bytes", bytes(range(256)))
        client.set("axe/text", "one\ntwo", content_type=TEXT, ttl=3_600)
        client.set("axe/text", "one\nthree", content_type=TEXT, ttl=3_600)
        client.set("axe/gone", "1")
        client.delete("axe/gone")
    return server


def findings(page: Page) -> list[str]:
    """What axe finds that is serious: the rule, and where."""
    found = page.run("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
    return [
        f"{rule['impact']} {rule['id']}: {[node['html'][:160] for node in rule['nodes'][:3]]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


@needs_axe
@pytest.mark.parametrize(("scheme", "width"), [("light", 1_280), ("dark", 360)])
def test_views_have_no_serious_finding(filled: RundletServer, page: Page, scheme: str, width: int):
    page.prefer(scheme)
    page.resize(width, 800)
    page.open(address(filled))
    page.run(AXE.read_text() + ";undefined")

    found = {}
    for name, (view, options, awaited) in VIEWS.items():
        page.open(address(filled, view, **options))
        page.wait_for(f"document.querySelector({json.dumps(awaited)})")
        found[name] = findings(page)

    assert {name: rules for name, rules in found.items() if rules} == {}


@needs_axe
def test_dialogs_have_no_serious_finding(filled: RundletServer, page: Page):
    page.open(address(filled, prefix="axe/"))
    page.run(AXE.read_text() + ";undefined")
    page.wait_for("document.querySelector('.table-row .key bdi')")
    for opening in ("?", "Token", "Delete all…", "Copy as"):
        if opening == "?":
            page.press("?")
        else:
            page.click(opening)
        page.wait_for("document.querySelector('dialog[open], .menu:popover-open')")

        assert findings(page) == []
        page.press("Escape")
        page.wait_for("!document.querySelector('dialog[open], .menu:popover-open')")


def test_page_is_no_wider_than_a_phone(filled: RundletServer, page: Page):
    page.resize(360, 740)
    for view, options, awaited in VIEWS.values():
        page.open(address(filled, view, **options))
        page.wait_for(f"document.querySelector({json.dumps(awaited)})")

        assert too_wide(page) == [], view


def test_preview_and_tokens_are_no_wider_than_a_phone(page: Page, tmp_path: Path):
    rows = tmp_path / "rows.jsonl"
    line = json.dumps({"key": "a/long/key/" * 9, "text": "word " * 90, "content_type": "text/x"})
    rows.write_text(f"{line}\n{{bad\n")
    page.resize(360, 740)
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        page.open(address(server, "transfer"))
        page.choose("File to import", rows)
        page.wait_for_text("1 of them bad", ".import-place")
        preview = too_wide(page)
        asked = {"name": "a long name of a token", "scope": "admin"}
        made = server.client.post("/v1/tokens", json=asked).json()
        page.run(f"sessionStorage.setItem('rundlet-token', {made['token']!r})")
        page.open(address(server, "tokens"))
        page.wait_for_text("Revoke", ".token-table")

        assert [preview, too_wide(page)] == [[], []]
    page.problems = [text for text in page.problems if "ERR_" not in text]


def too_wide(page: Page) -> list[str]:
    """What reaches beyond the right edge of the window."""
    return page.run(
        "[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() &&"
        " !e.closest('.offscreen, .skip, .hex, pre') &&"
        " e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.className || e.tagName)"
    )
