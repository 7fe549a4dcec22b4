"""Metadata at the command line: set with ``--meta``, shown where values are described."""

from __future__ import annotations

import json

import pytest

ABOUT = ("--meta", "Author=Zoë", "--meta", "query=a=1 b")
META = {"author": "Zoë", "query": "a=1 b"}


def test_metadata_is_shown_with_a_value(place):
    assert place.run("set", "a", "v", *ABOUT).code == 0
    place.run("set", "b", "v")

    assert json.loads(place.run("get", "a", "--json").out)["meta"] == META
    assert "meta" not in json.loads(place.run("get", "b", "--json").out)
    assert place.run("get", "a").out == b"v"
    assert json.loads(place.run("mget", "a", "--json").out)["meta"] == META


def test_lists_show_it_in_the_last_column(place):
    place.run("set", "a", "v", *ABOUT)
    place.run("set", "b", "v")
    lines = place.run("ls", "--long").text.splitlines()

    assert json.loads(lines[0].split("\t")[6]) == META
    assert len(lines[1].split("\t")) == 5
    shown = [json.loads(line) for line in place.run("ls", "--json").text.splitlines()]
    assert [line.get("meta") for line in shown] == [META, None]
    assert place.run("ls").text == "a\nb\n"


def test_the_history_shows_it_in_the_last_column(place):
    place.run("set", "a", "v", *ABOUT)
    place.run("set", "a", "v")
    lines = place.run("history", "a").text.splitlines()

    assert len(lines[0].split("\t")) == 7
    assert json.loads(lines[1].split("\t")[7]) == META
    shown = [json.loads(line) for line in place.run("history", "a", "--json").text.splitlines()]
    assert [line.get("meta") for line in shown] == [None, META]


def test_incr_keeps_it(place):
    place.run("set", "n", "1", *ABOUT)
    place.run("incr", "n")

    assert json.loads(place.run("get", "n", "--json").out)["meta"] == META


@pytest.mark.parametrize("ending", ["jsonl", "csv", "cbor"])
def test_an_export_and_an_import_keep_it(place, tmp_path, ending):
    place.run("set", "a", "v", *ABOUT)
    file = str(tmp_path / f"all.{ending}")
    place.run("export", file)
    place.run("del", "a")
    place.run("import", file)

    assert json.loads(place.run("get", "a", "--json").out)["meta"] == META


def test_lines_of_an_export_can_be_stored_by_mset(place, tmp_path):
    place.run("set", "a", "v", *ABOUT)
    file = tmp_path / "all.jsonl"
    place.run("export", str(file))
    place.run("del", "a")
    assert place.run("mset", "--file", str(file)).code == 0

    assert json.loads(place.run("get", "a", "--json").out)["meta"] == META


@pytest.mark.parametrize("pair", ["author", "=x", "a=", "a b=x", "a_b=x", f"{'x' * 41}=v"])
def test_what_is_no_name_and_text_is_refused(place, pair):
    place.run("set", "b", "v")
    answer = place.run("set", "a", "v", "--meta", pair)

    assert answer.code == 2
    assert "NAME=TEXT" in answer.err
    assert place.run("get", "a").code == 1


def test_a_name_that_is_given_twice_is_refused(place):
    assert place.run("set", "a", "v", "--meta", "a=1", "--meta", "A=2").code == 2


def test_too_much_is_refused_with_the_limit(place):
    answer = place.run("set", "a", "v", "--meta", f"a={'x' * 2_048}")

    assert answer.code == 2
    assert "2048" in answer.err
