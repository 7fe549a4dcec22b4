"""Test that links in the pages resolve, named tests exist, and every page is reachable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import client_reference
from docs.cli_help import PAGE_PATH, page
from docs.man_page import MAN_PATH, man_page
from rundlet_server.cli.group import loaded
from tests.support import ROOT

TOP_PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "client/README.md"]
PAGES = [*(ROOT / name for name in TOP_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]

LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE_PATH = re.compile(
    r"`((?:bench|cli|client|deploy|docs|functions|rundlet|scripts|server|storage|tests)/[\w./-]*)`"
)


def text_of(path: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", path.read_text())


def anchors_of(path: Path) -> set[str]:
    """The headings of a page as the usual renderers name them in addresses."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def links() -> list[object]:
    return [
        pytest.param(path, label, target, id=f"{path.relative_to(ROOT)}:{target}")
        for path in PAGES
        for label, target in LINK.findall(text_of(path))
        if "://" not in target
    ]


@pytest.mark.parametrize(("path", "label", "target"), links())
def test_link_leads_somewhere(path, label, target):
    name, _, anchor = target.partition("#")
    found = (path.parent / name).resolve() if name else path

    assert found.exists()
    assert ROOT in found.parents
    if anchor:
        assert anchor in anchors_of(found)
    if label.startswith("`test_"):
        assert f"def {label.strip('`')}(" in found.read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_named_in_the_text_exist(path):
    for name in CODE_PATH.findall(text_of(path)):
        assert (ROOT / name).exists(), name


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs/decisions"
    targets = {target for _, target in LINK.findall((folder / "README.md").read_text())}
    linked = {target for target in targets if "/" not in target}

    assert linked == {path.name for path in folder.glob("*.md")} - {"README.md"}


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        for _, target in LINK.findall(text_of(path)):
            found = (path.parent / target.partition("#")[0]).resolve()
            if found.suffix == ".md" and found not in reached:
                waiting.append(found)

    assert set(PAGES) <= reached


def test_every_answer_has_evidence():
    answers = re.split(r"^## ", text_of(ROOT / "docs/answers.md"), flags=re.MULTILINE)[1:]
    for answer in answers:
        targets = [target for _, target in LINK.findall(answer)]
        is_shown = any("/tests/" in target or "/numbers.md" in target for target in targets)
        assert is_shown, answer.splitlines()[0]


def test_page_of_settings_tells_every_option_of_serve_with_its_variable():
    page = (ROOT / "docs/settings.md").read_text()
    settings = page.split("<!-- settings -->")[1].split("<!-- /settings -->")[0]
    rows = [line.split("|")[1:] for line in settings.splitlines() if line.startswith("|")]
    for option in loaded("serve").params:
        name = option.opts[0]
        if name.startswith("--") and name != "--help":
            [row] = [row for row in rows if f"`{name}`" in row[0]]
            assert option.envvar is None or f"`{option.envvar}`" in row[1], name


def test_page_of_the_command_line_is_up_to_date():
    assert PAGE_PATH.read_text() == page(), "run: python docs/cli_help.py"
    assert MAN_PATH.read_text() == man_page(page()), "run: python docs/cli_help.py"


def test_the_page_of_the_python_client_is_what_its_docstrings_say():
    page = client_reference.page()

    assert client_reference.PAGE_PATH.read_text() == page, "run: python docs/client_reference.py"
