"""Test the data commands, both on a server and on a folder."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.functions.settings import ServerSettings
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place, run
from tests.support.wire.served_model import served

AWKWARD_KEYS = [
    "..",
    "a/../b",
    "//x",
    "line\nbreak",
    "🗝",
    "-x",
    "--json",
    "%41",
    "+",
    "?#",
    "a/",
    "a b",
    "x" * 2_048,
]


@pytest.fixture(params=["url", "data"])
def place(request, tmp_path: Path) -> Iterator[Place]:
    if request.param == "data":
        yield Place(("--data", str(tmp_path / "store")))
        return
    with served(ModelStore()) as url:
        yield Place(("--url", url))


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_every_key_works_in_every_command(place, key):
    assert place.run("set", "--", key, "1").code == 0
    assert place.run("get", "--", key).out == b"1"
    assert place.run("incr", "--", key).out == b"2\n"
    assert place.run("mget", "--", key).out == f"{key}\t2\n".encode()
    assert place.run("ls", "--", key).text == f"{key}\n"
    assert place.run("ls", "-0", "--", key).text == f"{key}\0"
    assert place.run("del", "--", key).text == "deleted 1 of 1\n"
    assert place.run("get", "--", key).code == 1


@pytest.mark.parametrize("value", [b"", b"\xff\x00\xfe", b"a\n", b"\r\n\x1b[31m"])
def test_a_value_goes_in_and_out_unchanged(place, tmp_path, value):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(value)

    assert place.run("set", "from-file", "--file", str(source)).code == 0
    assert place.run("set", "from-stdin", "-", stdin=value).code == 0

    assert place.run("get", "from-file").out == value
    assert place.run("get", "from-stdin", "-o", str(copy)).out == b""
    assert copy.read_bytes() == value


def test_a_large_value_goes_in_and_out_unchanged(place):
    value = os.urandom(5_000_000)

    assert place.run("set", "large", "-", stdin=value).code == 0

    assert place.run("get", "large").out == value


def test_set_is_silent_and_tells_machines(place):
    assert place.run("set", "k", "v").out == b""

    told = json.loads(place.run("set", "k", "w", "--json").out)

    assert told["key"] == "k"
    assert told["version"] == 2
    assert told["revision"] > 0


def test_get_tells_machines_all_about_a_value(place):
    place.run("set", "k", "hallo", "--ttl", "60", "--type", "text/plain")
    place.run("set", "b", "-", stdin=b"\xff")

    text = json.loads(place.run("get", "k", "--json").out)
    raw = json.loads(place.run("get", "b", "--json").out)

    assert text["text"] == "hallo"
    assert text["content_type"] == "text/plain"
    assert text["expires"].endswith("Z")
    assert base64.b64decode(raw["base64"]) == b"\xff"
    assert raw["content_type"] == "application/octet-stream"


def test_get_reads_an_earlier_revision(place):
    first = json.loads(place.run("set", "k", "1", "--json").out)["revision"]
    place.run("set", "k", "2")

    assert place.run("get", "k", "--rev", str(first)).out == b"1"


def test_get_of_a_missing_key_says_so_in_one_line(place):
    place.run("set", "other", "v")

    ended = place.run("get", "nothing")

    assert (ended.code, ended.out) == (1, b"")
    assert ended.err == "rundlet: no value for 'nothing'\n"


def test_set_if_absent_leaves_what_is_there(place):
    assert place.run("set", "k", "1", "--if-absent").code == 0

    ended = place.run("set", "k", "2", "--if-absent")

    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert place.run("get", "k").out == b"1"


def test_set_if_revision_demands_it(place):
    revision = json.loads(place.run("set", "k", "1", "--json").out)["revision"]

    assert place.run("set", "k", "2", "--if-revision", str(revision)).code == 0
    assert place.run("set", "k", "3", "--if-revision", str(revision)).code == 3
    assert place.run("set", "new", "4", "--if-revision", "0").code == 0
    assert place.run("get", "k").out == b"2"


def test_del_says_how_many_there_were(place):
    place.run("mset", "a=1", "b=2")

    ended = place.run("del", "a", "b", "c", "a")
    assert (ended.code, ended.text) == (0, "deleted 2 of 3\n")

    ended = place.run("del", "a", "b")
    assert (ended.code, ended.text) == (1, "deleted 0 of 2\n")
    assert json.loads(place.run("del", "a", "--json").out)["deleted"] == 0


def test_mset_is_one_transaction(place, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"key": "c", "base64": "/w=="}\n\n{"key": "d", "text": "ä", "ttl": 60}\n')

    assert place.run("mset", "a=1", "b=x=y", "e=", "--file", str(rows)).code == 0

    lines = [json.loads(line) for line in place.run("ls", "--json").out.splitlines()]
    assert [line["key"] for line in lines] == ["a", "b", "c", "d", "e"]
    assert len({line["revision"] for line in lines}) == 1
    assert place.run("get", "b").out == b"x=y"
    assert place.run("get", "c").out == b"\xff"
    assert place.run("get", "e").out == b""


@pytest.mark.parametrize("arguments", [[], ["a"], ["=1"], ["a=1", "a=2"]])
def test_mset_of_nothing_sensible_stores_nothing(place, arguments):
    place.run("set", "other", "v")

    assert place.run("mset", *arguments).code == 2

    assert place.run("ls").text == "other\n"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/vnd.a+json", 'text/plain; charset="utf-8";v=1', "a/b ;c=d;"],
)
def test_a_content_type_is_stored_as_given(place, content_type):
    assert place.run("set", "k", "v", "--type", content_type).code == 0

    assert json.loads(place.run("get", "k", "--json").out)["content_type"] == content_type


def test_a_malformed_content_type_is_refused_before_any_request(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"key": "a", "text": "1"}\n{"key": "b", "text": "", "content_type": "bad"}\n')

    nowhere = Place(("--url", "http://127.0.0.1:1"))
    typed = nowhere.run("set", "k", "v", "--type", "bad")
    in_file = nowhere.run("mset", "--file", str(rows))

    assert (typed.code, in_file.code) == (2, 2)
    assert "'bad' is not a content type; write one such as text/plain" in typed.err
    assert in_file.err.startswith(f"rundlet: {rows}:2: 'content_type' is not")


def test_mset_names_the_bad_line_of_a_file(place, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"key": "a", "text": "1"}\n{"key": "b"}\n')

    ended = place.run("mset", "--file", str(rows))

    assert ended.code == 2
    assert f"{rows}:2: exactly one of 'text' and 'base64' is needed" in ended.err


def test_mget_prints_what_there_is_and_names_what_is_missing(place):
    place.run("mset", "a=1", "b=2")

    ended = place.run("mget", "b", "none", "a")
    assert (ended.code, ended.text) == (1, "b\t2\na\t1\n")
    assert ended.err == "rundlet: no value for 'none'\n"

    ended = place.run("mget", "b", "none", "--json")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["found"] for line in lines] == [True, False]
    assert lines[0]["text"] == "2"


def test_mget_has_every_format(place):
    place.run("mset", "a=1", "b=x\ty")

    array = json.loads(place.run("mget", "a", "none", "--format", "json").text)
    tabs = place.run("mget", "b", "--format", "tsv").text.splitlines()
    table = place.run("mget", "a", "none", "--format", "table").text.splitlines()

    assert [(row["key"], row["found"]) for row in array] == [("a", True), ("none", False)]
    assert [line.split("\t")[7] for line in tabs] == ["text", "x\\ty"]
    assert [line.split() for line in table] == [
        ["key", "found", "value"],
        ["a", "yes", "1"],
        ["none", "no"],
    ]


def test_ls_narrows_and_rolls_up(place):
    place.run("mset", "a/1=1", "a/2=22", "b=333", "c/1=1")

    assert place.run("ls").text == "a/1\na/2\nb\nc/1\n"
    assert place.run("ls", "a/").text == "a/1\na/2\n"
    assert place.run("ls", "--limit", "2").text == "a/1\na/2\n"
    assert place.run("ls", "--delimiter", "/").text == "a/\nb\nc/\n"
    assert place.run("ls", "zzz").code == 0


def test_ls_long_gives_columns(place):
    revision = json.loads(place.run("set", "k", "abc", "--json").out)["revision"]

    line = place.run("ls", "--long").text

    assert line == f"{revision}\t1\t3\ttext/plain; charset=utf-8\tk\n"


def test_ls_goes_over_many_pages(place):
    for start in range(0, 2_400, 800):
        place.run("mset", *[f"k{number:04}=v" for number in range(start, start + 800)])

    assert place.run("ls").text.split() == [f"k{number:04}" for number in range(2_400)]


def test_ls_urls_can_be_fetched_with_anything():
    with served(ModelStore()) as url:
        place = Place(("--url", url))
        place.run("mset", "a b=1", "..=2")

        urls = place.run("ls", "--urls").text.split()

    assert urls == [f"{url}/v1/kv64/Li4", f"{url}/v1/kv/a%20b"]


def test_ls_urls_of_a_folder_is_a_usage_error(tmp_path):
    place = Place(("--data", str(tmp_path / "store")))
    place.run("set", "k", "v")

    assert place.run("ls", "--urls").code == 2


def test_incr_counts_up_and_down(place):
    assert place.run("incr", "n").out == b"1\n"
    assert place.run("incr", "n", "10").out == b"11\n"
    assert place.run("incr", "n", "-5").out == b"6\n"
    assert place.run("incr", "n", "--", "-5").out == b"1\n"
    assert json.loads(place.run("incr", "n", "--json").out) == {"key": "n", "number": 2}


def test_incr_of_a_text_is_refused(place):
    place.run("set", "k", "abc")

    ended = place.run("incr", "k")

    assert ended.code == 2
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["get"],
        ["get", ""],
        ["get", "a", "b"],
        ["get", "k", "--rev", "x"],
        ["set", "k"],
        ["set", "", "v"],
        ["set", "k", "v", "--file", "f"],
        ["set", "k", "v", "--ttl", "0"],
        ["set", "k", "v", "--ttl", "nan"],
        ["set", "k", "v", "--ttl", "soon"],
        ["set", "k", "v", "--if-absent", "--if-revision", "1"],
        ["set", "k", "v", "--type", "a\nb"],
        ["set", "k", "v", "--type", ""],
        ["set", "k", "v", "--type", "é"],
        ["set", "k", "v", "--type", "bad"],
        ["set", "k", "v", "--type", "text/"],
        ["set", "k", "v", "--type", "text/plain/x"],
        ["set", "k", "v", "--type", "text/plain charset=utf-8"],
        ["set", "k", "v", "--type", "text/plain; charset"],
        ["set", "k", "v", "--type", "text/plain; "],
        ["set", "k", "v", "--type", "text/" + "x" * 1_000],
        ["set", "k", "v", "--no-such-option"],
        ["set", "x" * 2_049, "v"],
        ["del"],
        ["mget"],
        ["incr", "k", "x"],
        ["incr", "k", "1.5"],
        ["ls", "--limit", "0"],
        ["nonsense"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(place, arguments):
    place.run("set", "other", "v")

    ended = place.run(*arguments)

    assert ended.code == 2, ended
    assert ended.out == b""
    assert ended.err.startswith("rundlet: ")
    assert ended.err.count("\n") == 1


def test_a_server_that_is_not_there_is_exit_code_4():
    ended = run("get", "k", "--url", "http://127.0.0.1:9")

    assert ended.code == 4
    assert "http://127.0.0.1:9" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", [["get", "k"], ["mget", "k"], ["ls"], ["stats"], ["export"]])
def test_reading_does_not_create_a_store(tmp_path, command):
    for folder in (tmp_path / "none", tmp_path):
        ended = run(*command, "--data", str(folder))

        assert ended.code == 4
        assert "no such store" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["get", "k"], ["set", "k", "v"], ["import", "-"], ["stats"]])
def test_folder_that_cannot_be_looked_into_is_not_called_a_missing_store(tmp_path, command):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    ended = run(*command, "--data", str(loop))

    assert ended.code == 4
    assert f"{loop}: Too many levels of symbolic links" in ended.err
    assert "no such store" not in ended.err


@pytest.mark.parametrize("kind", ["file", "link"])
def test_store_in_a_place_that_is_no_folder_is_refused_as_such(tmp_path, kind):
    place = tmp_path / "place"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to(tmp_path / "nowhere")

    ended = run("set", "k", "v", "--data", str(place))

    assert ended.code == 4
    advice = "it is a file, or a link that leads nowhere: name a folder"
    assert ended.err == f"rundlet: {place}: File exists; {advice}\n"


def test_a_read_only_server_refuses_writes_with_exit_code_6():
    with served(ModelStore(), ServerSettings(read_only=True)) as url:
        ended = run("set", "k", "v", "--url", url)

    assert ended.code == 6
    assert "read-only" in ended.err


def test_a_place_may_stand_before_the_command():
    with served(ModelStore()) as url:
        run("--url", url, "set", "k", "v")

        assert run(f"--url={url}", "--json", "get", "k").text.startswith('{"key": "k"')


def test_two_places_are_a_usage_error(tmp_path):
    ended = run("get", "k", "--url", "http://127.0.0.1:9", "--data", str(tmp_path))

    assert ended.code == 2


def test_stats_count(place):
    place.run("mset", "a=1", "b=22")

    told = json.loads(place.run("stats", "--json").out)
    shown = place.run("stats").text

    assert (told["keys"], told["value_bytes"]) == (2, 3)
    assert "keys" in shown
    assert all(len(line.split(None, 1)) == 2 for line in shown.splitlines())


def test_counts_come_in_every_format(place):
    place.run("mset", "a=1", "b=22")

    lines = place.run("stats").text.splitlines()
    rows = place.run("stats", "--format", "csv").text.splitlines()
    told = json.loads(place.run("stats", "--format", "json").out)

    assert "keys\t2" in lines
    assert rows[0] == "name,count"
    assert [row.replace(",", "\t") for row in rows[1:]] == lines
    assert told["keys"] == 2
    assert "keys" in place.run("stats", "--format", "table").text


def test_compact_is_asked_for():
    store = ModelStore()
    with served(store) as url:
        ended = run("compact", "--url", url)

    assert ended.code == 0
    assert store.compactions == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_a_disk_that_is_full_is_told_in_words(tmp_path):
    run("--data", str(tmp_path), "set", "a", "1")

    ended = run("--data", str(tmp_path), "get", "a", "-o", "/dev/full")

    assert ended.code == 4
    full = "/dev/full: No space left on device; free some space and try again"
    assert ended.err == f"rundlet: {full}\n"
