"""Test the form of the pages: the README is short, every page listed, pictures well-formed."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support import ROOT

DOCS = ROOT / "docs"
README_SIZE_MAX = 8 * 1024

LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)\s]*\)")


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= README_SIZE_MAX


def test_the_index_lists_every_page():
    listed = {
        (DOCS / target).resolve() for target in LINK.findall((DOCS / "README.md").read_text())
    }
    pages = {path for path in DOCS.rglob("*.md") if path.parent.name != "decisions"}
    pages |= {
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    }

    assert pages - {DOCS / "README.md"} - listed == set()
    assert DOCS / "decisions/README.md" in listed


def test_the_readme_leads_to_every_page_of_the_index():
    linked = {
        (ROOT / target).resolve() for target in LINK.findall((ROOT / "README.md").read_text())
    }
    indexed = {
        (DOCS / target).resolve() for target in LINK.findall((DOCS / "README.md").read_text())
    }

    assert indexed - linked - {ROOT / "README.md", DOCS / "performance/README.md"} == set()


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_well_formed(path):
    assert ElementTree.parse(path).getroot().tag.endswith("svg")  # our own file


def test_the_architecture_needs_no_background():
    picture = ElementTree.parse(DOCS / "images/architecture.svg")  # our own file
    width = float(picture.getroot().attrib["viewBox"].split()[2])
    widths = [
        float(box.attrib["width"]) for box in picture.iter("{http://www.w3.org/2000/svg}rect")
    ]

    assert max(widths) < width, "a box over the whole picture would be a background"


def test_the_settings_stand_between_markers_for_the_generator():
    page = (DOCS / "settings.md").read_text()

    assert page.index("<!-- settings -->") < page.index("<!-- /settings -->")


def prose_of(path: Path) -> str:
    """A page without its fenced blocks and its inline code, which name tests and outputs."""
    unfenced = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", "", unfenced)


GENERATED = {"cli.md"}  # of the help texts
HAND_WRITTEN = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(path for path in DOCS.rglob("*.md") if path.name not in GENERATED),
]


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_have_a_subject_that_can_be_named(path):
    unnamed = re.findall(
        r"\b(?:nobody|somebody|everybody|whoever)\b", prose_of(path), re.IGNORECASE
    )

    assert unnamed == [], "name the component or the person"
