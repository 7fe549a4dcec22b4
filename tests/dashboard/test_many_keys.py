"""Test the dashboard with many keys: a bounded page, memory that is bounded, a dropped file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rundlet import Client
from tests.dashboard.conftest import address, serving
from tests.dashboard.test_keys import SHOWN
from tests.support.browser.chromium import Page

ROWS_MAX = 100
KEYS_HELD_MAX = 42_000
ELEMENTS_MAX = 2_000
COUNTS = [20_000, pytest.param(1_000_000, marks=pytest.mark.soak(campaign="a million keys"))]
SOURCE = "document.querySelector('rundlet-keys').source"
HELD = f"{SOURCE}.pages.reduce((sum, page) => sum + (page.keys ? page.keys.length : 0), 0)"
ROWS = "document.querySelectorAll('.table-row').length"


@pytest.fixture
def line(tmp_path_factory: pytest.TempPathFactory):
    """A server of its own: no other test is to wait for a million keys."""
    yield from serving(tmp_path_factory)


def name(number: int) -> str:
    return f"many/{number:07d}"


def write_lines(path: Path, count: int) -> None:
    """A file of JSON lines."""
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"key": name(number), "text": "a value"}) + "\n")


def reach(page: Page, script: str, key: str) -> None:
    """Scroll on in every frame until a key is shown."""
    page.run("window.halted = false; window.most = 0; undefined")
    page.run(
        "(() => { const place = document.querySelector('.table-scroller');"
        f" const step = () => {{ if (window.halted) return; {script};"
        f" window.most = Math.max(window.most, {ROWS});"
        " requestAnimationFrame(step); }; step(); })()"
    )
    try:
        while not page.run(f"{SHOWN}.includes({json.dumps(key)})"):
            progress = page.run(f"{SOURCE}.length")
            page.wait_for(f"{SOURCE}.length > {progress} || {SHOWN}.includes({json.dumps(key)})")
    finally:
        page.run("window.halted = true")


@pytest.mark.parametrize("count", COUNTS)
def test_dropped_file_is_imported_and_scrolled_to_its_end(
    line, page: Page, tmp_path: Path, count: int
):
    path = tmp_path / "rows.jsonl"
    write_lines(path, count)
    page.open(address(line, "transfer"))

    page.drop(".drop", path)
    page.wait_for_text(f"{count:,} lines, none of them bad", ".import-place")
    page.click("Import", ".import-place")
    page.wait_for("document.querySelector('.import-place .banner')")
    assert f"Imported {count:,} keys" in page.text(".import-place")

    page.open(address(line, prefix="many/"))
    page.wait_for_text(f"{count:,} keys", ".summary")
    page.wait_for(f"{SHOWN}[0] === {name(0)!r}")
    reach(page, "place.scrollBy(0, 1e9)", name(count - 1))
    assert page.run("window.most") < ROWS_MAX
    assert page.run(HELD) <= KEYS_HELD_MAX
    assert page.run("document.querySelectorAll('*').length") < ELEMENTS_MAX
    assert page.run(f"{SOURCE}.isComplete && {SOURCE}.length") == count
    page.wait_for(f"{SHOWN}.join() === {SHOWN}.toSorted().join()")  # as a screen reader reads it

    page.run("document.querySelector('.table-scroller').scrollTop = 0")
    page.wait_for(f"{SHOWN}[0] === {name(0)!r}")
    height = page.run("document.querySelector('.table-scroller').scrollHeight")
    page.run(f"document.querySelector('.table-scroller').scrollTop = {height // 2}")
    page.wait_for(f"{SHOWN}.includes({name(count // 2)!r})")

    with Client(line.url) as client:
        assert client.count(prefix="many/") == count


@pytest.mark.parametrize("count", COUNTS)
def test_dropped_file_names_its_bad_lines(line, page: Page, tmp_path: Path, count: int):
    path = tmp_path / "rows.jsonl"
    write_lines(path, count)
    with path.open("a") as file:
        file.write("{no json}\n")
    page.open(address(line, "transfer"))

    page.drop(".drop", path)

    page.wait_for_text(f"{count + 1:,} lines, 1 of them bad", ".import-place")
    assert f"line {count + 1:,}" in page.text(".bad-lines")
