"""Test txn: both forms of its file, its outcome, and what is said of a bad file."""

from __future__ import annotations

import json

import pytest

from rundlet import Add, Condition, Delete, Put, Restore, Touch
from rundlet_server.cli.transfer.jsonlines import BadLine
from rundlet_server.cli.txn.reading import read

LINES = """
# who comes first
if a exists
if b missing
if c revision 0
if d version 2

set 'a b' "two words" --ttl 90s --type application/json
set -- --ttl x
del d
incr n -5
incr m
touch e 1h
touch f never
restore g 3
else
set a w
"""


def test_lines_are_read_in_order():
    wanted = read(LINES)

    assert wanted.conditions == [
        Condition("a", exists=True),
        Condition("b", exists=False),
        Condition("c", revision=0),
        Condition("d", version=2),
    ]
    assert wanted.then == [
        Put("a b", b"two words", "application/json", 90.0),
        Put("--ttl", b"x", "text/plain; charset=utf-8"),
        Delete("d"),
        Add("n", -5),
        Add("m", 1),
        Touch("e", 3_600.0),
        Touch("f", None),
        Restore("g", version=3),
    ]
    assert wanted.otherwise == [Put("a", b"w", "text/plain; charset=utf-8")]


def test_json_is_that_of_the_http_api():
    body = {
        "if": [{"key": "a", "revision": 41}, {"key": "b", "exists": False}],
        "then": [
            {"op": "put", "key": "a", "text": "v", "content_type": "text/x", "ttl": 60},
            {"op": "put", "key": "b", "base64": "/w=="},
            {"op": "delete", "key": "z"},
            {"op": "add", "key": "n", "by": 2},
            {"op": "add", "key": "m"},
            {"op": "restore", "key": "r", "version": 7},
            {"op": "touch", "key": "t", "ttl": 30},
        ],
        "else": [],
    }

    wanted = read(json.dumps(body, indent=1))

    assert wanted.conditions == [Condition("a", revision=41), Condition("b", exists=False)]
    assert wanted.then == [
        Put("a", b"v", "text/x", 60.0),
        Put("b", b"\xff"),
        Delete("z"),
        Add("n", 2),
        Add("m", 1),
        Restore("r", version=7),
        Touch("t", 30.0),
    ]
    assert wanted.otherwise == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1: there is no write"),
        ("if a exists", "1: there is no write"),
        ("set a", "1: write it as set KEY VALUE"),
        ("set a b c", "1: write it as set"),
        ("set a b --ttl", "1: write it as set"),
        ("set a b --ttl soon", "1: .*'soon' is not a duration"),
        ("set a b --type bad", "1: 'bad' is not a content type"),
        ("\nput a b", "2: 'put' is none of if, set"),
        ("if a there\nset a b", "1: write it as if KEY exists"),
        ("if a version x\nset a b", "1: 'x' is not a whole number"),
        ("set a b\nif a exists", "2: conditions stand before"),
        ("set a b\nelse\nset a c\nelse", "4: conditions stand before"),
        ("set a 'b", "1: No closing quotation"),
        ("{", "1: not JSON"),
        ('{\n"then": [,]}', "2: not JSON"),
        ('{"then": {}}', "1: 'then' is not a list"),
        ('{"do": []}', "1: unknown member 'do'"),
        ('{"then": [{"op": "put", "key": "a"}]}', r"then\[0\]: exactly one of 'text'"),
        ('{"then": [{"op": "drop", "key": "a"}]}', r"then\[0\]: 'op' is none of put"),
        ('{"then": [{"op": "delete"}]}', r"then\[0\]: 'key' is missing"),
        ('{"then": [{"op": "add", "key": "a", "by": "1"}]}', r"then\[0\]: 'by' is not"),
        ('{"then": [{"op": "delete", "key": "a", "x": 1}]}', r"then\[0\]: unknown member"),
        ('{"if": [{"key": "a", "exists": 1}], "then": []}', r"if\[0\]: 'exists' is neither"),
    ],
)
def test_what_is_no_transaction_is_named(text, reason):
    with pytest.raises(BadLine, match=reason):
        read(text)


def test_all_or_nothing_is_done(place):
    place.run("mset", "a=1", "n=5")

    done = place.run("txn", "-", stdin=b"if a exists\nset b 2\nincr n 3\ndel a\ndel none\n")

    assert done.code == 0
    first, *others = done.text.splitlines()
    assert first.startswith("done at revision ")
    assert others == ["b\tversion 1", "n\t8", "a\tdeleted", "none\twas not there"]
    assert place.run("ls").text == "b\nn\n"


def test_failed_condition_changes_nothing(place):
    place.run("set", "a", "1")

    ended = place.run("txn", "-", stdin=b"if a missing\nset b 2\n")

    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert "'a'" in ended.err
    assert place.run("ls").text == "a\n"


def test_else_is_done_instead(place):
    place.run("set", "a", "1")
    told = place.run("txn", "-", "--json", stdin=b"if a missing\nset a 2\nelse\nincr a 10\n")

    members = json.loads(told.out)

    assert told.code == 0
    assert members["succeeded"] is False
    assert members["results"] == [{"key": "a", "number": 11, "version": 2}]
    assert place.run("get", "a").out == b"11"


def test_bad_file_is_named_with_its_line_before_any_request(tmp_path, place):
    file = tmp_path / "t.txt"
    file.write_text("set a 1\nset b\n")

    ended = place.run("txn", str(file))

    assert ended.code == 2
    assert ended.err.startswith(f"rundlet: {file}:2: write it as set KEY VALUE")
    assert place.run("txn", str(tmp_path / "none")).code == 2
    assert place.run("txn", "-", stdin=b"sett a\n").err.startswith("rundlet: stdin:1: 'sett'")
