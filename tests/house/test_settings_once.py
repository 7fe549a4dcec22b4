"""Each setting stands in one place: its row. Everything else refers to the row."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from docs import settings_table
from rundlet_server.functions.settings import SETTINGS
from tests.support import ROOT

LAYERS = ("cli", "functions", "server", "storage", "rundlet")
VARIABLES = [row.variable for row in SETTINGS if row.variable]
OPTIONS = [row.option for row in SETTINGS if row.option]

# Other commands look for a store and for the server's tokens under the same names, and `import`
# reads text files in the same way; `retention` and `backup --prune` say how long something is kept.
OF_OTHER_COMMANDS = {
    *("--data", "RUNDLET_DATA", "--store", "RUNDLET_STORE"),
    *("RUNDLET_TOKENS", "--any-key", "--skip-bad", "--keep-for"),
}


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    """The product's code, by file."""
    paths = (path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
    return {path: path.read_text() for path in paths}


@pytest.fixture(scope="module")
def counts(sources: dict[Path, str]) -> Counter[str]:
    """How often each string is there, docstrings and parts of f-strings included."""
    return Counter(
        node.value
        for source in sources.values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@pytest.mark.parametrize("name", sorted({*VARIABLES, *OPTIONS} - OF_OTHER_COMMANDS))
def test_setting_is_defined_once(name: str, counts: Counter[str]):
    assert counts[name] == 1


@pytest.mark.parametrize("name", sorted(set(VARIABLES) - OF_OTHER_COMMANDS - {"PORT"}))
def test_variable_is_named_by_its_row_only(name: str, sources: dict[Path, str]):
    """Not even a comment or a docstring repeats it."""
    naming = [path for path, text in sources.items() if name in text.replace(f"{name}_", "")]

    assert len(naming) == 1, naming


def test_names_of_settings_are_their_own():
    for names in (VARIABLES, OPTIONS, [row.path for row in SETTINGS]):
        assert len(set(names)) == len(names)


def test_every_row_says_what_it_does_in_sentences():
    for row in SETTINGS:
        assert row.help[0].isupper(), row.name
        assert row.help.endswith("."), row.name


def test_page_of_the_settings_is_up_to_date():
    assert settings_table.PAGE_PATH.read_text() == settings_table.page(), (
        "run: python docs/settings_table.py"
    )
