"""Test the commands on keys whose values stay: exists, ttl, touch, cp, mv."""

from __future__ import annotations

import json
import threading
import time

import pytest

from rundlet_server.cli.commands import keys
from rundlet_server.cli.show.times import time_left
from tests.support.models.model import Clock, ModelStore
from tests.support.processes.command_line import Place, run
from tests.support.wire.served_model import served


def test_exists_counts_and_fails_if_one_is_missing(place):
    place.run("mset", "a=1", "ab=2")

    assert place.run("exists", "a", "ab", "a").text == "found 2 of 2\n"
    ended = place.run("exists", "a", "abc", "x")
    assert (ended.code, ended.text, ended.err) == (1, "found 1 of 3\n", "")
    told = json.loads(place.run("exists", "--json", "x", "a").out)
    assert told == {"found": 1, "missing": ["x"]}


def test_key_whose_beginning_exists_does_not(place):
    place.run("set", "ab", "1")

    assert place.run("exists", "a").code == 1


@pytest.mark.parametrize("command", [("exists", ""), ("ttl", ""), ("cp", "a", ""), ("mv", "", "a")])
def test_empty_key_is_a_usage_error(place, command):
    place.run("set", "a", "1")

    assert place.run(*command).code == 2


def test_ttl_is_what_was_given(place):
    place.run("set", "k", "v", "--ttl", "1h")
    place.run("set", "always", "v")

    assert place.run("ttl", "k").text.startswith("59m")
    assert place.run("ttl", "always").text == "never\n"
    told = json.loads(place.run("ttl", "k", "--json").out)
    assert 3_590 < told["ttl"] <= 3_600
    assert told["expires"].endswith("Z")
    assert json.loads(place.run("ttl", "always", "--json").out)["ttl"] is None
    assert place.run("ttl", "none").code == 1


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.85, "850ms"),
        (9.54, "9.5s"),
        (90.9, "1m30s"),
        (3_600, "1h"),
        (5_400, "1h30m"),
        (187_200, "2d4h"),
        (187_261, "2d4h"),
    ],
)
def test_time_left_has_two_units_at_most(seconds, shown):
    assert time_left(seconds) == shown


def test_touch_changes_the_expiry_and_nothing_else(place):
    place.run("set", "k", "v", "--type", "text/x")

    assert place.run("touch", "k", "2h").text == ""
    assert place.run("ttl", "k").text.startswith("1h59m")
    about = json.loads(place.run("get", "k", "--json").out)
    assert (about["text"], about["content_type"], about["version"]) == ("v", "text/x", 2)
    assert json.loads(place.run("touch", "k", "never", "--json").out)["version"] == 3
    assert place.run("ttl", "k").text == "never\n"


def test_touch_needs_a_value_and_a_time(place):
    place.run("set", "k", "v")

    missing = place.run("touch", "none", "1h")
    assert (missing.code, missing.err) == (1, "rundlet: no value for 'none'\n")
    assert place.run("touch", "k", "soon").code == 2
    assert place.run("touch", "k", "0").code == 2


def test_cp_takes_bytes_type_and_expiry(place):
    place.run(
        "set", "a", "-", "--type", "image/x", "--ttl", "1h", "--meta", "a=b", stdin=b"\xff\x00"
    )

    assert place.run("cp", "a", "b").text == ""

    about = json.loads(place.run("get", "b", "--json").out)
    assert (about["base64"], about["content_type"]) == ("/wA=", "image/x")
    assert about["meta"] == {"a": "b"}
    assert place.run("ttl", "b").text.startswith("59m")
    assert place.run("get", "a").out == b"\xff\x00"


def test_cp_and_mv_replace_unless_they_must_not(place):
    place.run("mset", "a=1", "b=2", "c=3")

    for command in ("cp", "mv"):
        ended = place.run(command, "a", "b", "--if-absent")
        assert ended.code == 3
        assert ended.err.count("\n") == 1
    assert place.run("get", "b").out == b"2"
    assert place.run("cp", "a", "b").code == 0
    assert place.run("get", "b").out == b"1"
    assert place.run("mv", "c", "b").code == 0
    assert place.run("get", "b").out == b"3"


def test_mv_is_one_commit(place):
    place.run("set", "a", "1", "--ttl", "1h", "--meta", "a=b")

    told = json.loads(place.run("mv", "a", "b", "--json").out)

    assert told["key"] == "b"
    assert place.run("get", "a").code == 1
    assert json.loads(place.run("get", "b", "--json").out)["meta"] == {"a": "b"}
    assert place.run("ttl", "b").text.startswith("59m")
    before = place.run("mget", "a", "b", "--rev", str(told["revision"] - 1))
    after = place.run("mget", "a", "b", "--rev", str(told["revision"]))
    assert (before.text, after.text) == ("a\t1\n", "b\t1\n")


def test_mv_of_a_value_that_changes_meanwhile_moves_the_newer_one(place, monkeypatch):
    place.run("set", "a", "1")
    read = keys._value
    seen = []

    def read_and_let_change(target, key):
        value = read(target, key)
        seen.append(value.data)
        if len(seen) == 1:
            target.set(key, b"2")
        return value

    monkeypatch.setattr(keys, "_value", read_and_let_change)

    assert place.run("mv", "a", "b").code == 0

    assert seen == [b"1", b"2"]
    assert place.run("get", "b").out == b"2"


@pytest.mark.parametrize("command", ["cp", "mv"])
def test_nothing_is_made_of_a_missing_key_or_of_itself(place, command):
    place.run("set", "a", "1")

    assert place.run(command, "none", "b").code == 1
    assert place.run(command, "a", "a").code == 2
    assert place.run("ls").text == "a\n"


def test_ttl_of_a_key_that_is_expiring_is_never_negative():
    clock = Clock(time.time_ns() // 1_000)
    with served(ModelStore(clock)) as url:
        place = Place(("--url", url))
        place.run("set", "k", "v", "--ttl", "50ms")
        threading.Event().wait(0.1)  # longer than the value lives by the clock of this machine

        assert place.run("ttl", "k").text == "0ms\n"  # the store's clock stands
        assert place.run("cp", "k", "copy").code == 1


def test_commands_create_no_store(tmp_path):
    folder = tmp_path / "none"

    for command in (("touch", "a", "1h"), ("cp", "a", "b"), ("mv", "a", "b"), ("exists", "a")):
        assert run(*command, "--data", str(folder)).code == 4
    assert not folder.exists()
