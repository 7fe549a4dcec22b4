"""Test that an import restores what an export wrote, and that a bad file loads nothing."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import random
import stat
import time

import pytest

from rundlet_server.cli.transfer.command import _output
from rundlet_server.functions.transfer.formats import EXPORTED
from rundlet_server.storage.bounds import TTL_S_MAX
from rundlet_server.storage.errors import DiskFull
from rundlet_server.storage.interface import Limits, Put, Txn
from rundlet_server.storage.log.store import LogStore
from tests.support import ROOT
from tests.support.models.model import Clock, ModelStore
from tests.support.processes.command_line import Place, run
from tests.support.wire.served_model import served

UUID = "3479d894-3271-4935-88cf-a06f3cbb80a5"
AWKWARD = {
    "..": b"",
    "//x": b"\xff\x00",
    "line\nbreak": b"line\nbreak",
    "🗝": "schön".encode(),
    "-x": random.Random(1).randbytes(100_000),
    "\u2028": b"\x1b[31m",
    "x" * 2_048: b"long key",
}


def lines_of(place: Place) -> list[dict[str, object]]:
    return [json.loads(line) for line in place.run("export").out.splitlines()]


def test_what_is_exported_can_be_imported_elsewhere(place, tmp_path):
    for key, value in AWKWARD.items():
        place.run("set", "--type", "text/plain", "--", key, "-", stdin=value)
    place.run("set", "expiring", "v", "--ttl", "1000")
    exported = tmp_path / "all.jsonl"

    assert place.run("export", str(exported)).text == f"exported {len(AWKWARD) + 1} keys\n"
    with served(ModelStore()) as url:
        elsewhere = Place(("--url", url))
        ended = elsewhere.run("import", str(exported))
        assert ended.text == f"imported {len(AWKWARD) + 1} lines\n"
        copied = lines_of(elsewhere)

    parts = ("key", "content_type", "text", "base64")
    original = lines_of(place)
    assert [[x.get(p) for p in parts] for x in copied] == [
        [x.get(p) for p in parts] for x in original
    ]
    assert {str(x["key"]) for x in original} == {*AWKWARD, "expiring"}


def test_the_time_left_is_kept(tmp_path):
    clock = Clock(time.time_ns() // 1_000)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"key": "gone", "text": "v", "expires": "2001-01-01T00:00:00Z"}\n'
        '{"key": "stays", "text": "v", "expires": "2100-01-01T00:00:00+00:00"}\n'
        '{"key": "ttl", "text": "v", "ttl": 5}\n'
    )
    with served(ModelStore(clock)) as url:
        ended = run("import", str(rows), "--url", url)
        clock.advance(10)
        keys = run("ls", "--url", url).text

    assert ended.text == "imported 2 lines (1 expired)\n"
    assert keys == "stays\n"


def test_the_longest_time_to_live_is_exported_and_imported(place, tmp_path):
    place.run("set", "longest", "v", "--ttl", str(TTL_S_MAX))
    rows = tmp_path / "rows.jsonl"
    place.run("export", str(rows))
    place.run("del", "longest")

    ended = place.run("import", str(rows))

    assert ended.code == 0, ended.err
    [line] = lines_of(place)
    assert line["key"] == "longest"
    assert "expires" in line


def test_the_longest_time_to_live_is_imported_when_the_clock_of_the_server_is_ahead(tmp_path):
    clock = Clock(time.time_ns() // 1_000 + 3_600_000_000)
    rows = tmp_path / "rows.jsonl"
    with served(ModelStore(clock)) as url:
        run("set", "longest", "v", "--ttl", str(TTL_S_MAX), "--url", url)
        run("export", str(rows), "--url", url)

        ended = run("import", str(rows), "--url", url)

    assert ended.text == "imported 1 line\n"


def test_an_export_is_one_snapshot_of_many_pages(place, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"key": "k{number:05}", "text": "v"}}\n' for number in range(2_345)))
    place.run("import", str(rows))

    assert [line["key"] for line in lines_of(place)] == [f"k{number:05}" for number in range(2_345)]
    assert len(place.run("export", "--prefix", "k0000").out.splitlines()) == 10


def test_an_export_that_fails_leaves_the_file_as_it_was(tmp_path):
    target = tmp_path / "all.jsonl"
    target.write_text("before")

    ended = run("export", str(target), "--url", "http://127.0.0.1:9")

    assert ended.code == 4
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_an_export_goes_into_a_pipe_and_does_not_replace_it(tmp_path):
    pipe = tmp_path / "all.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # else who writes would wait
    with served(ModelStore()) as url:
        run("set", "a", "1", "--url", url)

        assert run("export", str(pipe), "--url", url).code == 0

    assert pipe.is_fifo()
    assert json.loads(os.read(reader, 1_000))["key"] == "a"
    os.close(reader)


def test_an_export_goes_to_where_a_link_points(tmp_path):
    link, target = tmp_path / "link.jsonl", tmp_path / "all.jsonl"
    link.symlink_to(target)
    with served(ModelStore()) as url:
        run("set", "a", "1", "--url", url)
        run("export", str(link), "--url", url)

    assert link.is_symlink()
    assert json.loads(target.read_text())["key"] == "a"


def test_file_of_an_export_on_a_full_disk_is_named(place):
    place.run("set", "a", "1")

    ended = place.run("export", "/dev/full", "--format", "jsonl")

    assert ended.code == 4
    full = "/dev/full: No space left on device; free some space and try again"
    assert ended.err == f"rundlet: {full}\n"


def test_an_export_keeps_the_mode_of_the_file_that_it_replaces(tmp_path):
    target = tmp_path / ("é" * 124 + ".jsonl")  # as long as a name may be
    target.touch(mode=0o600)
    with served(ModelStore()) as url:
        run("set", "a", "1", "--url", url)
        run("export", str(target), "--url", url)

    assert json.loads(target.read_text())["key"] == "a"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [target.name]


def test_lines_that_repeat_a_key_are_counted_and_the_later_wins(place, tmp_path):
    rows = tmp_path / "rows.jsonl"
    lines = [{"key": f"k{number % 1_500}", "text": str(number)} for number in range(2_000)]
    rows.write_text("\n".join(json.dumps(line) for line in lines))

    ended = place.run("import", str(rows))

    assert ended.text == "imported 2000 lines (500 repeated)\n"
    assert place.run("get", "k1").out == b"1501"
    assert place.run("get", "k1499").out == b"1499"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"key": 1, "text": ""}', "'key' is missing or not text"),
        ('{"text": ""}', "'key' is missing or not text"),
        ('{"key": "", "text": ""}', "empty"),
        ('{"key": "\\ud800", "text": ""}', "UTF-8"),
        ('{"key": "a", "text": "\\ud800"}', "UTF-8"),
        ('{"key": "a"}', "exactly one of"),
        ('{"key": "a", "text": "", "base64": ""}', "exactly one of"),
        ('{"key": "a", "base64": "?"}', "base64"),
        ('{"key": "a", "base64": "ä"}', "base64"),
        ('{"key": "a", "text": "", "ttl": 0}', "ttl"),
        ('{"key": "a", "text": "", "ttl": true}', "ttl"),
        ('{"key": "a", "text": "", "ttl": 1e999}', "ttl"),
        ('{"key": "a", "text": "", "ttl": 3162240001}', "100 years"),
        ('{"key": "a", "text": "", "expires": "9999-12-31T23:59:59-01:00"}', "year 9999"),
        ('{"key": "a", "text": "", "expires": "soon"}', "expires"),
        ('{"key": "a", "text": "", "expires": "2030-01-01T00:00:00"}', "expires"),
        ('{"key": "a", "text": "", "ttl": 1, "expires": "2030-01-01T00:00:00Z"}', "both"),
        ('{"key": "a", "text": "", "content_type": 7}', "content_type"),
        ('{"key": "a", "text": "", "content_type": "a\\nb"}', "content_type"),
        ('{"key": "a", "text": "", "vlaue": 7}', "vlaue"),
        ('{"key": "%s", "text": ""}' % ("x" * 2_049), "2048"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_loaded(place, tmp_path, line, reason):
    place.run("set", "other", "v")
    rows = tmp_path / "rows.jsonl"
    good = [json.dumps({"key": f"k{number}", "text": "v"}) for number in range(1_200)]
    rows.write_text("\n".join([*good, line, '{"key": "z", "text": "v"}']))

    ended = place.run("import", str(rows))

    assert ended.code == 2
    assert ended.err.startswith(f"rundlet: {rows}:1201: ")
    assert reason in ended.err
    assert ended.err.count("\n") == 1
    assert place.run("ls").text == "other\n"


def test_bad_lines_can_be_left_out(place, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"key": "a", "text": "1"}\n\xff\n\n{"key": "b", "text": "2"}\r\n')

    ended = place.run("import", str(rows), "--skip-bad", "--json")

    assert json.loads(ended.out) == {
        **{"rows": 2, "duplicates": 0, "bad": 1},
        **{"expired": 0, "skipped": 0},
    }
    assert place.run("ls").text == "a\nb\n"


def test_an_import_can_come_from_stdin(place):
    ended = place.run("import", "-", "--format", "jsonl", stdin=b'{"key": "a", "text": "1"}\n')

    assert ended.code == 0
    assert place.run("get", "a").out == b"1"
    assert place.run("import", "-", "--format", "jsonl", stdin=b"{").err.startswith(
        "rundlet: stdin:1: "
    )


def test_the_example_file_is_imported_as_it_is(place):
    example = ROOT / "example.data"

    assert place.run("import", str(example)).text == "imported 3 lines\n"

    assert place.run("get", UUID).out == b"this is a value"
    assert b"text/plain" in place.run("ls", "--long", UUID).out


def test_a_text_value_is_every_byte_up_to_the_newline(place, tmp_path):
    rows = tmp_path / "rows.txt"
    other = UUID.replace("3479d894", "00000000")
    rows.write_bytes(f"{other} ".encode() + b"\n" + UUID.encode() + b"  a \xff \r\x00")

    assert place.run("import", str(rows)).code == 0

    assert place.run("get", UUID).out == b" a \xff \r\x00"
    assert place.run("get", other).out == b""


@pytest.mark.parametrize(
    "line", ["no-uuid v", UUID.upper() + " v", UUID, UUID.replace("-4", "-1") + " v", ""]
)
def test_a_bad_text_line_is_named_and_nothing_is_loaded(place, tmp_path, line):
    place.run("set", "other", "v")
    rows = tmp_path / "rows.data"
    rows.write_text(f"{UUID} first\n{line}\n{UUID} second\n")

    ended = place.run("import", str(rows))
    assert ended.code == 2
    assert ended.err.startswith(f"rundlet: {rows}:2: ")
    assert place.run("ls").text == "other\n"

    ended = place.run("import", str(rows), "--skip-bad")
    assert ended.text == "imported 2 lines (1 repeated, 1 bad)\n"
    assert place.run("get", UUID).out == b"second"


def test_a_long_text_file_is_imported(place, tmp_path):
    """So long that a folder takes its lines many at once."""
    rows = tmp_path / "rows.data"
    text = [f"{number:08x}-3271-4935-88cf-a06f3cbb80a5 v{number}\n" for number in range(12_000)]
    rows.write_text("".join([*text, f"{text[5].split()[0]} again\n"]))

    assert place.run("import", str(rows)).text == "imported 12001 lines (1 repeated)\n"

    assert place.run("get", text[5].split()[0]).out == b"again"
    assert place.run("get", text[-1].split()[0]).out == b"v11999"
    assert json.loads(place.run("stats", "--json").out)["keys"] == 12_000


def test_an_import_into_a_folder_that_breaks_off_says_how_far_it_came(tmp_path, monkeypatch):
    rows = tmp_path / "rows.data"
    text = [f"{number:08x}-3271-4935-88cf-a06f3cbb80a5 v\n" for number in range(2_500)]
    rows.write_text("".join(text))
    commit = LogStore.commit

    def filling_up(store, txn):
        if store.stats().key_count:
            raise DiskFull("no space is left")
        return commit(store, txn)

    monkeypatch.setattr(LogStore, "commit", filling_up)
    ended = run("import", str(rows), "--data", str(tmp_path / "store"))

    assert ended.code == 4
    assert "the first 1,000 of 2,500 lines are stored; run the same import" in ended.err


def test_any_key_without_a_space_can_be_allowed(place, tmp_path):
    rows = tmp_path / "rows.data"
    rows.write_text("🗝/.. two words\n")

    assert place.run("import", str(rows), "--any-key").code == 0

    assert place.run("get", "🗝/..").out == b"two words"


def test_a_text_export_can_be_imported(place, tmp_path):
    exported = tmp_path / "all.data"
    place.run("set", UUID, "a value with spaces")
    place.run("export", str(exported))
    place.run("del", UUID)

    assert place.run("import", str(exported)).text == "imported 1 line\n"

    assert place.run("get", UUID).out == b"a value with spaces"


JSON_LINES = b'{"key": "a", "text": "1"}\n{"key": "b", "text": "2"}\n'


@pytest.mark.parametrize("options", [(), ("--any-key",)])
def test_json_lines_are_not_taken_for_lines_of_text(place, tmp_path, options):
    rows = tmp_path / "rows.txt"
    rows.write_bytes(b"\n" + JSON_LINES if not options else JSON_LINES)

    ended = place.run("import", *options, "--skip-bad", "--json", str(rows))
    assert json.loads(ended.out)["rows"] == 0
    ended = place.run("import", "--format", "text", "--any-key", "-", stdin=JSON_LINES)

    assert ended.code == 2
    assert ended.err.startswith("rundlet: stdin:1: the line is JSON")
    assert "--format jsonl" in ended.err
    assert place.run("ls").text == ""


def test_a_line_of_text_that_an_import_would_take_for_json_is_not_exported(place, tmp_path):
    place.run("set", '{"a":', "1}")

    ended = place.run("export", str(tmp_path / "all.txt"))

    assert ended.code == 2
    assert "export .jsonl" in ended.err


@pytest.mark.parametrize(
    ("content", "options", "keys"),
    [
        (JSON_LINES, (), "a\nb\n"),
        (b"\r\n \n" + JSON_LINES, (), "a\nb\n"),
        (b"", (), ""),
        (f"{UUID} v\n".encode(), (), f"{UUID}\n"),
        (f"bad\n{UUID} v\n".encode(), ("--skip-bad",), f"{UUID}\n"),
        (b"name v\n", ("--any-key",), "name\n"),
        (b"key,value\na,1\n", (), "a\n"),
        (b'"value","key"\r\n"1","b,c"\r\n', (), "b,c\n"),
        (b"\xa2\x63key\x61a\x65value\x411", (), "a\n"),
        (gzip.compress(JSON_LINES, mtime=0), (), "a\nb\n"),
    ],
)
def test_the_format_is_recognized_from_the_first_bytes(tmp_path, content, options, keys):
    rows = tmp_path / "rows.unknown"
    rows.write_bytes(content)

    for source in (str(rows), "-"):
        place = Place(("--data", str(tmp_path / f"from {len(source)}")))
        ended = place.run("import", *options, source, stdin=content)

        assert ended.code == 0, ended.err
        assert place.run("ls").text == keys


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"key;value\na;1\n", "not recognized"),
        (gzip.compress(b"\x00\x01", mtime=0), "not recognized"),
        (b"\x00\x01", "not recognized"),
        (b"name v\n", "--any-key"),
        (b'[{"key": "a", "text": "1"}]', "JSON array"),
        (codecs.BOM_UTF8 + f"{UUID} v\n".encode(), "byte-order mark"),
    ],
)
def test_a_format_that_is_not_recognized_is_refused(tmp_path, content, what):
    store = tmp_path / "store"
    ended = run("import", "-", "--data", str(store), stdin=content)

    assert ended.code == 2
    assert ended.err.startswith("rundlet: stdin")
    assert what in ended.err
    assert ended.err.count("\n") == 1
    assert not store.exists()


def test_a_compressed_file_is_read_whatever_its_ending(place, tmp_path):
    for name in ("rows.jsonl.gz", "rows.jsonl", "rows.gz"):
        rows = tmp_path / name
        rows.write_bytes(gzip.compress(JSON_LINES))

        assert place.run("import", str(rows)).text == "imported 2 lines\n"

    rows.write_bytes(gzip.compress(JSON_LINES)[:-4])
    ended = place.run("import", str(rows))
    assert ended.code == 2
    assert "not whole" in ended.err


@pytest.mark.parametrize("ending", ["jsonl", "csv", "cbor", "jsonl.gz", "csv.gz", "cbor.gz"])
def test_every_format_is_written_and_read_by_its_ending(place, tmp_path, ending):
    for key, value in AWKWARD.items():
        place.run("set", "--type", "text/plain", "--", key, "-", stdin=value)
    place.run("set", "expiring", "v", "--ttl", "1000")
    before = lines_of(place)
    exported = tmp_path / f"all.{ending}"

    ended = place.run("export", str(exported))
    assert ended.text == f"exported {len(before)} keys\n"
    assert (exported.read_bytes()[:2] == b"\x1f\x8b") == ending.endswith("gz")
    place.run("del", "--", *AWKWARD, "expiring")
    assert place.run("import", str(exported)).text == f"imported {len(before)} lines\n"

    after = lines_of(place)
    parts = ("key", "content_type", "text", "base64", "expires")
    assert [[x.get(p) for p in parts] for x in after] == [[x.get(p) for p in parts] for x in before]


@pytest.mark.parametrize("chosen", EXPORTED)
def test_the_format_of_an_export_is_recognized_on_stdin(place, tmp_path, chosen):
    copy = Place(("--data", str(tmp_path / "copy")))
    place.run("set", "a", "v", "--ttl", "1000", "--meta", "owner=ann")
    place.run("set", "b", "-", stdin=b"\xff")

    ended = copy.run("import", "-", stdin=place.run("export", "--format", chosen).out)

    assert ended.text == "imported 2 lines\n"
    assert copy.run("export", "--format", "csv").out == place.run("export", "--format", "csv").out


def test_two_exports_into_one_file_at_once_are_both_complete(tmp_path):
    file = tmp_path / "all.jsonl"

    with _output(file) as first:
        first.write(b"1")
        with _output(file) as second:
            second.write(b"2")
        assert file.read_bytes() == b"2"

    assert file.read_bytes() == b"1"
    assert list(tmp_path.iterdir()) == [file]


def test_keys_that_have_a_value_are_skipped_or_end_the_import(place, tmp_path):
    place.run("set", "b", "old")
    rows = tmp_path / "rows.csv"
    rows.write_text("key,value\na,new\nb,new\nc,new\n")

    ended = place.run("import", str(rows), "--on-conflict", "fail")
    assert ended.code == 3
    assert f"{rows}:3: " in ended.err
    assert "the first 1 of 3 lines are stored" in ended.err

    ended = place.run("import", str(rows), "--on-conflict", "skip")
    assert ended.text == "imported 1 line (2 skipped)\n"
    assert place.run("get", "b").text == "old"
    assert place.run("import", str(rows)).text == "imported 3 lines\n"


def test_the_past_is_exported(place, tmp_path):
    place.run("set", "a", "1")
    place.run("set", "b", "2")

    past = place.run("export", "--rev", "1").out.splitlines()

    assert [json.loads(line)["key"] for line in past] == ["a"]
    assert place.run("export", "--at", "1h", "--rev", "1").code == 2
    assert place.run("export", "--rev", "99").code != 0


def test_an_import_of_a_file_that_does_not_exist_is_refused(tmp_path):
    assert run("import", str(tmp_path / "none.jsonl"), "--data", str(tmp_path)).code == 2


def test_an_export_is_piped_into_an_import(place, tmp_path):
    for key, value in AWKWARD.items():
        place.run("set", "--", key, "-", stdin=value)
    copy = Place(("--data", str(tmp_path / "copy")))

    ended = copy.run("import", "-", stdin=place.run("export").out)

    assert ended.text == f"imported {len(AWKWARD)} lines\n"
    assert copy.run("ls").out == place.run("ls").out


def test_values_over_the_servers_limit_are_found_before_anything_is_stored(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"key": "a", "text": "short"}\n{"key": "b", "text": "longer than that"}\n')
    with served(ModelStore(limits=Limits(value_bytes_max=10))) as url:
        ended = run("import", str(rows), "--url", url)
        keys = run("ls", "--url", url).text

    assert ended.code == 2
    assert f"{rows}:2: the value has 16 bytes, at most 10 are allowed" in ended.err
    assert keys == ""


def test_batches_stay_within_the_servers_limits(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"key": "k{number}", "text": "v"}}\n' for number in range(100)))
    store = ModelStore(limits=Limits(txn_ops_max=7, txn_bytes_max=30))
    with served(store) as url:
        ended = run("import", str(rows), "--url", url)

    assert ended.code == 0
    assert store.stats().key_count == 100


def test_an_import_that_breaks_off_says_how_far_it_came(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"key": "k{number}", "text": "v"}}\n' for number in range(1_500)))

    class FillingUp(ModelStore):
        def commit(self, txn):
            if self.stats().key_count:
                self.info = self.info.__class__("log", "model", True, self.info.limits)
            return super().commit(txn)

    with served(FillingUp()) as url:
        ended = run("import", str(rows), "--url", url)

    assert ended.code == 6, ended.err
    assert "the first 1,000 of 1,500 lines are stored; run the same import" in ended.err


def test_a_text_export_is_the_format_of_the_example(tmp_path):
    store = ModelStore()
    store.commit(Txn([Put("a", b"1"), Put("b", b"two words\r")]))
    with served(store) as url:
        assert run("export", str(tmp_path / "all.data"), "--url", url).code == 0
        store.commit(Txn([Put("c", b"two\nlines")]))
        assert run("export", str(tmp_path / "more.data"), "--url", url).code == 2

    assert (tmp_path / "all.data").read_bytes() == b"a 1\nb two words\r\n"
    assert not (tmp_path / "more.data").exists()
