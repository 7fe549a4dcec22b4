"""Test how the files of the dashboard are served: policy, caching, sizes, and the way there."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import falcon.testing
import httpx
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.functions.ui.files import Assets, modules_of, read_assets
from tests.support import PATIENCE_S, ROOT
from tests.support.browser.chromium import Page
from tests.support.models.model import ModelStore
from tests.support.processes.servers import RundletServer

STATIC = ROOT / "functions/ui/static"
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
SENT_BYTES_MAX = 100_000


@pytest.fixture
def web() -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(ModelStore()))


def links_of(page: str) -> set[str]:
    """The addresses of the files that a page names."""
    return set(re.findall(r'(?:href|src)="(static/[^"]+)"', page))


def test_page_and_all_its_files_are_served(any_server: RundletServer):
    page = any_server.client.get("/ui/")
    answers = [any_server.client.get(f"/ui/{link}") for link in sorted(links_of(page.text))]

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(answers) > 10
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["X-Content-Type-Options"] for answer in answers} == {"nosniff"}


def test_policy_of_the_page_lets_nothing_in_from_outside(web):
    policy = web.simulate_get("/ui/").headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert not re.search(r"unsafe|https?:|\*|data:", policy)


def test_page_has_no_script_and_no_style_in_itself():
    page = (STATIC / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []


def test_no_module_makes_markup_of_text():
    pattern = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    )
    for path in STATIC.rglob("*.js"):
        assert re.findall(pattern, path.read_text()) == [], path


def test_no_view_takes_a_name_that_every_element_has(page: Page):
    assigned = {
        name
        for path in FILES
        if path.suffix == ".js" and "extends HTMLElement" in path.read_text()
        for name in re.findall(r"this\.(\w+) (?:\?\?)?= ", path.read_text())
    }
    page.open("about:blank")
    taken = page.run(f"{sorted(assigned)}.filter((name) => name in document.body)")

    assert set(taken) <= {"className"}, "a view would find the method of the element"
    assert len(assigned) > 20


def test_no_file_names_another_host():
    for path in FILES:
        found = re.findall(r"https?://[^\s\"'`]+", path.read_text())
        assert {url for url in found if "www.w3.org" not in url} == set(), path


def test_file_is_kept_for_good_under_its_build(web):
    link = next(iter(links_of(web.simulate_get("/ui/").text)))
    other = re.sub("static/[0-9a-f]+", "static/000000", link)

    kept = web.simulate_get(f"/ui/{link}")
    of_another_build = web.simulate_get(f"/ui/{other}")

    assert kept.headers["Cache-Control"] == "max-age=31536000, immutable"
    assert of_another_build.headers["Cache-Control"] == "no-cache"
    assert of_another_build.content == kept.content


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_page_is_sent_once(web, encoding: str):
    first = web.simulate_get("/ui/", headers={"Accept-Encoding": encoding})
    headers = {"Accept-Encoding": encoding, "If-None-Match": first.headers["ETag"]}

    again = web.simulate_get("/ui/", headers=headers)

    assert first.headers["Cache-Control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Content-Security-Policy"]


def test_packed_file_is_the_same_file(web):
    link = next(iter(links_of(web.simulate_get("/ui/").text)))
    plain = web.simulate_get(f"/ui/{link}")
    packed = web.simulate_get(f"/ui/{link}", headers={"Accept-Encoding": "gzip"})

    assert gzip.decompress(packed.content) == plain.content
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert packed.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/ui/static/x/core/none.js", "/ui/static/x/../dom.js"])
def test_unknown_file_is_a_problem(web, path: str):
    assert web.simulate_get(path).json["type"] == "/problems/not-found"


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "status"), [(BROWSER, 307), ("*/*", 200), ("application/json", 200), ("", 200)]
)
def test_root_leads_browsers_to_the_dashboard(any_server: RundletServer, accept: str, status: int):
    headers = {"Accept": accept}
    answer = httpx.get(f"{any_server.url}/", headers=headers, timeout=PATIENCE_S)

    assert answer.status_code == status
    assert answer.headers["Vary"] == "Accept"
    if status == 307:
        assert answer.headers["Location"] == "ui/"
        url = f"{any_server.url}/ui"
        found = httpx.get(url, follow_redirects=True, timeout=PATIENCE_S)
        assert found.url.path == "/ui/"
    else:
        assert answer.json()["name"] == "rundlet"


@pytest.mark.parametrize("path", ["/ui/", "/ui", "/ui/static/x/core/dom.js"])
def test_there_is_no_dashboard_if_it_is_turned_off(path: str):
    web = falcon.testing.TestClient(create_app(ModelStore(), ServerSettings(no_ui=True)))

    assert web.simulate_get(path).status_code == 404
    assert web.simulate_get("/", headers={"Accept": BROWSER}).status_code == 200


def test_page_preloads_every_module_that_it_needs_first():
    files = {
        "index.html": b"{{modules}} {{base}}",
        "shell/main.js": b'import { a } from "../core/a.js";\nimport "./b.js";\nimport("./c");\n',
        "core/a.js": b'import {\n  b,\n} from "./e.js";\n',
        "core/e.js": b"",
        "shell/b.js": b'export { a } from "../core/a.js";\n',
    }

    found = modules_of(files, "shell/main.js")

    assert found == ["shell/main.js", "core/a.js", "shell/b.js", "core/e.js"]
    assert Assets(files).page.body.count(b"modulepreload") == 4


def test_every_import_of_every_module_is_a_file():
    for path in STATIC.rglob("*.js"):
        for target in re.findall(r'(?:from |import |import\()"([^"]+)"', path.read_text()):
            assert (path.parent / target).resolve() in FILES, (path, target)


def test_build_changes_with_every_file():
    assets = read_assets()
    files = {"index.html": b"", "shell/main.js": b"1"}

    assert assets.build == read_assets().build
    assert Assets(files).build != Assets({**files, "shell/main.js": b"2"}).build


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(STATIC)))
def test_modules_of_the_dashboard_stay_short_enough_to_read(path: Path):
    assert len(path.read_text().splitlines()) <= 400
    assert len(list(path.parent.iterdir())) <= 20


def test_all_files_together_are_small():
    packed = sum(len(gzip.compress(path.read_bytes())) for path in FILES)

    assert packed < SENT_BYTES_MAX
