"""Test history, diff, rollback, retention, erase, and the options that say when."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from tests.support.processes.command_line import Place


def lines(place: Place, *arguments: str) -> list[dict]:
    """What a command prints with --json."""
    ended = place.run(*arguments, "--json")
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.text.splitlines()]


@pytest.fixture
def told(place: Place) -> Place:
    """Revisions: 1 to 3 write k, 4 writes p/1, 5 p/2, 6 deletes p/1."""
    for value in ("one", "two", "three"):
        assert place.run("set", "k", value).code == 0
    for key in ("p/1", "p/2"):
        place.run("set", key, key)
    place.run("del", "p/1")
    return place


def test_history_is_newest_first_and_a_deleted_key_has_one(told):
    versions = lines(told, "history", "k")
    deleted = lines(told, "history", "p/1", "--limit", "1")

    assert [(each["revision"], each["version"], each["op"]) for each in versions] == [
        (3, 3, "put"),
        (2, 2, "put"),
        (1, 1, "put"),
    ]
    assert versions[0]["size"] == 5
    assert versions[0]["content_type"] == "text/plain; charset=utf-8"
    assert datetime.fromisoformat(versions[0]["time"]).tzinfo is not None
    assert [(each["op"], each["version"]) for each in deleted] == [("delete", 0)]
    assert told.run("history", "k").text.splitlines()[2].split("\t")[:3] == ["1", "1", "put"]


def test_history_of_an_unknown_key_is_not_found(told):
    ended = told.run("history", "none")

    assert ended.code == 1
    assert "'none'" in ended.err


def test_values_lists_and_many_values_are_read_as_they_were(told):
    time.sleep(0.01)
    now = datetime.now(UTC).isoformat()
    told.run("set", "k", "four")

    assert told.run("get", "k", "--rev", "1").out == b"one"
    assert told.run("get", "k", "--version", "2").out == b"two"
    assert told.run("get", "k", "--at", now).out == b"three"
    assert told.run("get", "k", "--at", "1h").code == 1
    assert told.run("ls", "--rev", "4").text == "k\np/1\n"
    assert told.run("ls", "--at", now).text == "k\np/2\n"
    assert told.run("mget", "k", "p/2", "--at", now).text == "k\tthree\np/2\tp/2\n"
    assert told.run("mget", "k", "--rev", "2").text == "k\ttwo\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "k", "--rev", "1", "--at", "1h"),
        ("get", "k", "--version", "1", "--rev", "1"),
        ("ls", "--rev", "1", "--at", "1h"),
        ("mget", "k", "--rev", "1", "--at", "1h"),
        ("get", "k", "--at", "yesterday"),
        ("get", "k", "--at", "90"),
        ("get", "k", "--at", "2999-01-01T00:00:00Z"),
        ("get", "k", "--rev", "99"),
        ("diff", "99"),
        ("diff", "x"),
        ("rollback",),
        ("rollback", "k", "1", "--to", "1"),
        ("rollback", "k", "--prefix", "p/", "--to", "1"),
        ("rollback", "--prefix", "p/"),
        ("rollback", "--prefix", "p/", "--to", "99"),
        ("retention", "--keep-versions", "0"),
        ("retention", "--keep-for", "x"),
    ],
)
def test_places_that_are_none_or_not_one_are_usage_errors(told, arguments):
    ended = told.run(*arguments)

    assert ended.code == 2
    assert ended.err.count("\n") == 1


def test_differences_are_listed_in_order_with_both_sides(told):
    found = lines(told, "diff", "2")

    assert [(each["key"], each["change"]) for each in found] == [
        ("k", "changed"),
        ("p/2", "added"),
    ]
    assert (found[0]["from"]["revision"], found[0]["to"]["revision"]) == (2, 3)
    assert "from" not in found[1]
    assert [each["change"] for each in lines(told, "diff", "5", "3")] == ["removed", "removed"]
    assert told.run("diff", "3", "--prefix", "p/").text == "added\t\t3 bytes @5\tp/2\n"
    assert told.run("diff", "6").text == ""


def test_one_key_goes_back_to_the_version_before_or_to_a_named_one(told):
    dry = told.run("rollback", "k", "--dry-run")
    assert told.run("get", "k").out == b"three"
    assert dry.text.startswith("would restore version 2 of k, 3 bytes of ")

    assert told.run("rollback", "k").code == 0
    assert told.run("get", "k").out == b"two"
    assert lines(told, "rollback", "k", "1")[0]["restored_revision"] == 1
    assert told.run("get", "k").out == b"one"
    assert told.run("rollback", "k", "--to", "3").text.startswith("1 restored, 0 deleted")
    assert told.run("get", "k").out == b"three"


def test_deleted_key_comes_back(told):
    assert told.run("rollback", "p/1").code == 0
    assert told.run("get", "p/1").out == b"p/1"


@pytest.mark.parametrize("arguments", [("p/2",), ("k", "9"), ("none",), ("none", "1")])
def test_version_that_was_not_is_not_found(told, arguments):
    ended = told.run("rollback", *arguments)

    assert ended.code == 1
    assert "rundlet history" in ended.err


def test_prefix_goes_back_in_one_transaction(told):
    dry = lines(told, "rollback", "--prefix", "", "--to", "4", "--dry-run")[0]
    assert (dry["restored"], dry["deleted"], dry["unchanged"]) == (1, 1, 1)
    assert [each["key"] for each in dry["changes"]] == ["p/1", "p/2"]
    assert told.run("ls").text == "k\np/2\n"

    done = lines(told, "rollback", "--prefix", "", "--to", "4")[0]

    assert done == {"revision": 7, "restored": 1, "deleted": 1, "unchanged": 1}
    assert told.run("ls").text == "k\np/1\n"


def test_retention_is_shown_and_one_part_of_it_changed(told):
    assert told.run("retention").text.splitlines() == [
        "versions of each key: 10",
        "everything of the last: 1h",
    ]

    assert told.run("retention", "--keep-for", "7d").code == 0

    assert lines(told, "retention") == [{"keep_versions": 10, "keep_for_s": 604_800}]


def test_erased_key_has_no_version_left(told):
    erased = told.run("erase", "k")

    assert (erased.code, erased.text) == (0, "erased 3 versions of k\n")
    assert told.run("get", "k", "--rev", "1").code == 1
    assert [each["op"] for each in lines(told, "history", "k")] == ["erase"]
    assert told.run("erase", "none").code == 1


@pytest.mark.parametrize("arguments", [("retention", "--keep-for", "1h"), ("erase", "k")])
def test_commands_that_change_create_no_store(tmp_path, arguments):
    ended = Place(("--data", str(tmp_path / "none"))).run(*arguments)

    assert ended.code == 4
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "command", [("diff", "yesterday"), ("get", "k", "--at", "yesterday")], ids=" ".join
)
def test_what_is_no_time_is_answered_with_both_ways_to_write_one(told, command):
    refused = told.run(*command)

    assert refused.code == 2
    assert "'yesterday' is no time; write 2027-01-31T12:00:00Z, or 90s, " in refused.err
