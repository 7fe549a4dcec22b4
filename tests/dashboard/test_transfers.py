"""Test import and export in the dashboard: previews, bad lines by number, progress."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer, wait_for

UUID = "3479d894-3271-4935-88cf-a06f3cbb80a5"
FILES = {
    "rows.jsonl": '{"key":"in/jsonl","text":"<b>1</b>","content_type":"text/plain"}\n',
    "rows.csv": 'key,content_type,expires,encoding,value\nin/csv,text/plain,,,"1\n2"\n',
    "rows.data": f"{UUID} a value\n",
}
KEYS = {"rows.jsonl": "in/jsonl", "rows.csv": "in/csv", "rows.data": UUID}


@pytest.mark.parametrize("name", FILES)
def test_file_is_looked_at_and_imported(
    server: RundletServer, client: Client, page: Page, tmp_path: Path, name: str
):
    (tmp_path / name).write_text(FILES[name])
    page.open(address(server, "transfer"))
    page.choose("File to import", tmp_path / name)
    page.wait_for_text("none of them bad", ".import-place")
    assert KEYS[name] in page.text(".preview")

    page.click("Import", ".import-place")

    page.wait_for_text("Imported 1 key", ".import-place")
    assert client.get(KEYS[name]) is not None


def test_packed_file_is_imported_without_a_preview(
    server: RundletServer, client: Client, page: Page, tmp_path: Path
):
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"key":"in/packed","text":"1"}\n'))
    page.open(address(server, "transfer"))
    page.choose("File to import", tmp_path / "rows.jsonl.gz")
    page.wait_for_text("no preview", ".import-place")

    page.click("Import", ".import-place")

    page.wait_for_text("Imported 1 key", ".import-place")
    assert client.get("in/packed").text == "1"


def test_bad_lines_are_named_before_and_after(
    server: RundletServer, client: Client, page: Page, tmp_path: Path
):
    lines = [json.dumps({"key": f"bad/{n}", "text": "1"}) for n in range(3)]
    lines[1:1] = ["{not json}", '{"text": "no key"}']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    page.open(address(server, "transfer"))
    page.choose("File to import", tmp_path / "rows.jsonl")
    page.wait_for_text("2 of them bad", ".import-place")
    assert "line 2" in page.text(".bad-lines")
    assert "line 3" in page.text(".bad-lines")

    page.click("Import up to the first bad line", ".import-place")

    page.wait_for_text("before line 2", ".import-place .banner")
    page.problems = [text for text in page.problems if "422" not in text]


def test_prefix_is_exported_to_a_file(
    server: RundletServer, client: Client, page: Page, tmp_path: Path
):
    client.set("out/a", "1", content_type="text/plain")
    client.set("other", "2")
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.open(address(server, "transfer", prefix="out/"))
    page.run("window.showSaveFilePicker = undefined")

    page.click("Export", ".card")

    page.wait_for_text("Exported", ".card")
    path = tmp_path / "out.jsonl"
    [line] = wait_for(lambda: path.exists() and path.read_text().splitlines())
    assert json.loads(line)["key"] == "out/a"
