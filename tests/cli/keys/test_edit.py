"""Test edit: what it opens, what it saves, and what it does about a change of others."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place
from tests.support.wire.served_model import served


def editor_that(program: str) -> str:
    """A program that gets the path of the file as ``path``."""
    start = "import pathlib, sys, subprocess; path = pathlib.Path(sys.argv[-1]); "
    return shlex.join([sys.executable, "-c", start + program])


def test_edited_value_is_saved_with_its_type_and_expiry(place):
    place.run("set", "k", "one two", "--type", "application/json", "--ttl", "1h")
    editor = editor_that(
        "assert path.suffix == '.json'; path.write_text(path.read_text().upper() + '\\n')"
    )

    ended = place.run("edit", "k", "--editor", editor)

    assert (ended.code, ended.out, ended.err) == (0, b"", "")
    about = json.loads(place.run("get", "k", "--json").out)
    assert (about["text"], about["content_type"], about["version"]) == (
        "ONE TWO",
        "application/json",
        2,
    )
    assert place.run("ttl", "k").text.startswith("59m")


def test_value_that_stays_is_not_written(place):
    place.run("set", "k", "v")

    ended = place.run("edit", "k", "--editor", editor_that("path.write_text('v\\n')"))

    assert ended.text == "unchanged\n"
    assert json.loads(place.run("get", "k", "--json").out)["version"] == 1


def test_key_without_a_value_begins_empty(place):
    place.run("set", "other", "v")
    editor = editor_that("assert path.read_bytes() == b''; path.write_text('new\\n')")

    told = json.loads(place.run("edit", "k", "--editor", editor, "--json").out)

    assert (told["changed"], told["version"]) == (True, 1)
    assert place.run("get", "k").out == b"new\n"


@pytest.mark.parametrize("later", ["changed", None])
def test_change_of_others_is_shown_and_nothing_is_lost(later):
    with served(ModelStore()) as url:
        place = Place(("--url", url))
        place.run("set", "k", "first\nlast\n")
        other = ["set", "k", f"{later}\nlast\n"] if later else ["del", "k"]
        command = [sys.executable, "-m", "rundlet_server", *other, "--url", url]
        editor = editor_that(
            f"subprocess.run({command!r}, check=True); path.write_text('mine\\nlast\\n')"
        )

        ended = place.run("edit", "k", "--editor", editor)
        now = place.run("get", "k")

    assert ended.code == 3
    assert "-first\n" in ended.err
    assert ("+changed\n" in ended.err) == bool(later)
    assert "nothing was saved" in ended.err.splitlines()[-1]
    assert now.out == (b"changed\nlast\n" if later else b"")
    kept = re.search(r"Your text is in (.+)\.$", ended.err, re.MULTILINE)
    assert kept is not None
    assert Path(kept[1]).read_text() == "mine\nlast\n"
    assert Path(kept[1]).stat().st_mode & 0o077 == 0
    Path(kept[1]).unlink()


def test_failing_editor_saves_nothing_and_leaves_no_file(place, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place.run("set", "k", "v")
    before = set(tmp_path.iterdir())

    failing = place.run("edit", "k", "--editor", editor_that("sys.exit(9)"))
    missing = place.run("edit", "k", "--editor", "/no/such/editor")

    assert (failing.code, missing.code) == (4, 2)
    assert "ended with 9; nothing was saved" in failing.err
    assert set(tmp_path.iterdir()) == before


def test_bytes_that_are_no_text_are_refused(place):
    place.run("set", "k", "-", stdin=b"\xff")

    ended = place.run("edit", "k", "--editor", editor_that("sys.exit(1)"))

    assert ended.code == 2
    assert "no text" in ended.err
