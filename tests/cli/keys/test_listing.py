"""Test ls: ranges, globs, values, formats, trees."""

from __future__ import annotations

import csv
import io
import json
import random
import shlex
from contextlib import closing

import pytest

from rundlet import KeyInfo
from rundlet_server.cli.commands.tree import Branch, tree_of
from rundlet_server.cli.show.formats import table
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place, run_on_terminal
from tests.support.wire.served_model import served


def test_ranges_have_a_beginning_and_an_end(place):
    place.run("mset", "a=1", "b=2", "c=3", "d=4", "d0=5")

    assert place.run("ls", "--start", "b").text == "b\nc\nd\nd0\n"
    assert place.run("ls", "--end", "c").text == "a\nb\n"
    assert place.run("ls", "--start", "b", "--end", "d").text == "b\nc\n"
    assert place.run("ls", "--after", "c").text == "d\nd0\n"
    assert place.run("ls", "--after", "b", "--end", "d").text == "c\n"
    assert place.run("ls", "--reverse").text == "d0\nd\nc\nb\na\n"
    assert place.run("ls", "--reverse", "--after", "c").text == "b\na\n"
    assert place.run("ls", "--start", "a", "--after", "a").code == 2
    assert place.run("ls", "--reverse", "--end", "c", "--after", "c").code == 2


@pytest.mark.parametrize("options", [(), ("--reverse",), ("--delimiter", "/"), ("--match", "*")])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_limit_tells_how_to_go_on_until_the_end(place, options, size):
    place.run("mset", "a=1", "b/1=1", "b/2=1", "b0=1", "c d/é=1", "c d/é2=1", "e=1")
    whole = place.run("ls", *options).text

    pages, after = [], ()
    while True:
        ended = place.run("ls", *options, "--limit", str(size), *after)
        pages.append(ended.text)
        if not ended.err:
            break
        assert ended.err.startswith("there are more; go on with --after ")
        after = tuple(shlex.split(ended.err.partition("go on with ")[2]))

    assert "".join(pages) == whole
    assert all(page.count("\n") == size for page in pages[:-1])


def test_glob_applies_behind_the_prefix_and_crosses_slashes(place):
    place.run("mset", "u/1/name=1", "u/2/name=2", "u/2/mail=3", "name=4")

    assert place.run("ls", "--match", "*name").text == "name\nu/1/name\nu/2/name\n"
    assert place.run("ls", "u/", "--match", "[2-9]/*").text == "u/2/mail\nu/2/name\n"
    assert place.run("ls", "--match", "*name", "--limit", "2").text == "name\nu/1/name\n"
    assert place.run("ls", "--match", "name", "--delimiter", "/").code == 2


def test_values_are_exact_in_a_pipe(place):
    place.run("set", "a", "-", stdin=b"\xff\n")
    place.run("set", "b", "hello")

    assert place.run("ls", "--values").out == b"a\t\xff\n\nb\thello\n"
    lines = [json.loads(line) for line in place.run("ls", "--values", "--json").out.splitlines()]
    assert [line.get("text", line.get("base64")) for line in lines] == ["/wo=", "hello"]


def test_long_shows_when_a_key_expires(place):
    place.run("set", "k", "v", "--ttl", "1h")
    place.run("set", "x", "v")

    first, second = place.run("ls", "--long").text.splitlines()

    assert first.split("\t")[5].endswith("Z")
    assert len(second.split("\t")) == 5
    assert "expires" in json.loads(place.run("ls", "--json", "--limit", "1").text)


def test_every_format_holds_the_same(place):
    place.run("set", "a\tb", 'x"y')
    place.run("set", "c,d", "line\n2")

    array = json.loads(place.run("ls", "--values", "--format", "json").text)
    lines = place.run("ls", "--values", "--format", "jsonl").text.splitlines()
    comma = list(csv.DictReader(io.StringIO(place.run("ls", "--values", "--format", "csv").text)))
    tabs = place.run("ls", "--values", "--format", "tsv").text.splitlines()

    assert array == [json.loads(line) for line in lines]
    assert [row["key"] for row in array] == [row["key"] for row in comma] == ["a\tb", "c,d"]
    assert [row["text"] for row in comma] == ['x"y', "line\n2"]
    assert [line.split("\t")[0] for line in tabs] == ["key", "a\\tb", "c,d"]
    assert {line.count("\t") for line in tabs} == {tabs[0].count("\t")}
    heading, *rows = place.run("ls", "--long", "--format", "table").text.splitlines()
    assert heading.split() == ["revision", "version", "size", "type", "key"]
    assert len(rows) == 2


def test_format_of_nothing_is_whole(place):
    place.run("set", "a", "1")

    assert place.run("ls", "zzz", "--format", "json").text == "[]\n"
    assert place.run("ls", "zzz", "--format", "csv").text.startswith("key,revision")
    assert place.run("ls", "zzz", "--format", "table").text == ""
    assert place.run("ls", "--json", "--format", "csv").code == 2


def test_urls_are_a_member_too():
    with served(ModelStore()) as url:
        place = Place(("--url", url))
        place.run("mset", "a/1=1", "b=2")

        rows = json.loads(place.run("ls", "--urls", "--delimiter", "/", "--format", "json").text)

    assert rows[0] == {"prefix": "a/", "url": f"{url}/v1/keys?prefix=a%2F"}
    assert rows[1]["url"] == f"{url}/v1/kv/b"


def test_tree_counts_keys_and_bytes(place):
    place.run("mset", "a/1=12", "a/b/2=345", "a/b/3=6", "c=7")

    assert place.run("ls", "--tree").text.splitlines() == [
        "keys     size",
        "   4  7 bytes  all keys",
        "   3  6 bytes  ├─ a/",
        "      2 bytes  │  ├─ 1",
        "   2  4 bytes  │  └─ b/",
        "      3 bytes  │     ├─ 2",
        "       1 byte  │     └─ 3",
        "       1 byte  └─ c",
    ]
    shallow = place.run("ls", "a/", "--tree", "--depth", "1", "--format", "csv").text
    assert shallow == "prefix,keys,bytes\na/,3,6\na/b/,2,4\n"
    assert place.run("ls", "--tree", "--long").code == 2
    assert place.run("ls", "--depth", "1").code == 2


def test_tree_of_many_keys_shows_the_first_and_counts_the_others(place):
    place.run("mset", *[f"k{number:03}=12" for number in range(50)])

    lines = place.run("ls", "--tree").text.splitlines()

    assert len(lines) == 23
    assert lines[-1] == "  30   60 bytes  └─ … 30 more"


@pytest.mark.parametrize("branches_max", [None, 2])
def test_tree_has_the_sums_of_its_keys(branches_max):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    sizes = {
        "/".join(rng.choice("ab/") for _ in range(rng.randint(1, 6))): rng.randint(0, 9)
        for _ in range(200)
    }
    infos = [KeyInfo(key, size=sizes[key]) for key in sorted(sizes)]

    root = tree_of(infos, "", "/", branches_max=branches_max)

    def check(branch: Branch) -> None:
        if branch.is_key:
            assert branch.value_bytes == sizes[branch.path], f"seed {seed}"
            return
        below = [size for key, size in sizes.items() if key.startswith(branch.path)]
        assert (branch.key_count, branch.value_bytes) == (len(below), sum(below)), f"seed {seed}"
        assert branches_max is None or len(branch.branches) <= branches_max
        for each in branch.branches:
            check(each)

    check(root)


def test_table_is_as_wide_as_its_cells():
    assert list(table((">n", "name"), [["1", "a"], ["100", "bc"]])) == [
        "  n  name",
        "  1  a",
        "100  bc",
    ]
    assert list(table((">n", "name"), [])) == []


def test_table_leaves_out_empty_columns_if_it_knows_all_rows():
    assert list(table((">n", "note", "name"), [["1", "", "a"], ["2", "", "b"]])) == [
        "n  name",
        "1  a",
        "2  b",
    ]
    many = [*([["1", "", "a"]] * 500), ["1", "late", "a"]]
    lines = list(table((">n", "note", "name"), many))
    assert lines[0].split() == ["n", "note", "name"]
    assert lines[-1].split() == ["1", "late", "a"]


def test_prefixes_have_a_column_of_their_own_in_csv(place):
    place.run("mset", "a=1", "b/1=1")

    shown = place.run("ls", "--delimiter", "/", "--format", "csv").text
    rows = list(csv.DictReader(io.StringIO(shown)))

    assert [(row["key"], row["prefix"]) for row in rows] == [("a", ""), ("", "b/")]
    assert "prefix" not in place.run("ls", "--format", "csv").text


@pytest.mark.parametrize("output_format", ["table", "json", "jsonl", "csv", "tsv", None])
@pytest.mark.parametrize("prefix", ["", "b/"])
def test_a_folder_and_its_server_are_listed_alike(tmp_path, output_format, prefix):
    folder = tmp_path / "store"
    by_folder = Place(("--data", str(folder)))
    by_folder.run("set", "a", "v", "--ttl", "1000h", "--meta", "owner=ann")
    by_folder.run("mset", "b/1=x", "b/2/y=1", "b/2/z=2", "c=3")
    formats = () if output_format is None else ("--format", output_format)
    options = [
        (*values, *long, *rest)
        for values in ((), ("--values",))
        for long in ((), ("--long",))
        for rest in ((), ("--delimiter", "/"), ("--match", "*", "--reverse"))
    ]
    options += [("--tree",), ("--delimiter", "/", "--values", "--limit", "1")]
    with closing(open_log_store(folder, StoreSettings())) as store, served(store) as url:
        by_url = Place(("--url", url))
        for chosen in options:
            command = ("ls", prefix, *chosen, *formats)
            assert by_folder.run(*command).out == by_url.run(*command).out, chosen


def test_terminal_gets_no_control_characters_in_any_format():
    with served(ModelStore()) as url:
        Place(("--url", url)).run("set", "a\x1b[2J", "\x1b[31m")

        for output_format in ("table", "json", "jsonl", "csv", "tsv"):
            shown = run_on_terminal(
                "ls", "--values", "--long", "--format", output_format, "--url", url
            ).out
            assert b"\x1b" not in shown
            assert b"a" in shown
