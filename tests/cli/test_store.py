"""``--store``: one option for every kind of store that the command line opens itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes.command_line import run, run_process


@pytest.fixture
def words(tmp_path: Path) -> str:
    path = tmp_path / "words.txt"
    path.write_text("ant small\nbee yellow\ncat grey\n")
    return f"file:{path}"


def test_folder_is_the_same_by_either_option(tmp_path):
    folder = str(tmp_path / "data")
    run("set", "a", "1", "--store", folder)

    assert run("get", "a", "--data", folder).out == b"1"
    assert run("--store", folder, "get", "a").out == b"1"


def test_folder_may_have_the_name_of_another_kind_of_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("set", "a", "1", "--data", "memory")

    assert run("get", "a", "--store", "./memory").out == b"1"
    assert run("get", "a", "--store", "memory").code == 2


def test_text_file_is_read_like_any_store(words):
    assert run("get", "bee", "--store", words).out == b"yellow"
    assert run("get", "bee", "--rev", "1", "--store", words).out == b"yellow"
    assert run("get", "dog", "--store", words).code == 1
    assert run("ls", "b", "--store", words).text == "bee\n"
    out = run("mget", "ant", "cat", "--store", words).out
    assert out == b"ant\tsmall\ncat\tgrey\n"
    assert len(run("export", "--store", words).text.splitlines()) == 3
    assert "keys" in run("stats", "--store", words).text


@pytest.mark.parametrize(
    "command", [("set", "a", "1"), ("del", "ant"), ("incr", "n"), ("mset", "a=1")]
)
def test_text_file_takes_no_writes(words, command):
    ended = run(*command, "--store", words)

    assert ended.code == 6
    assert "is served as it is; load it into a store to write" in ended.err


def test_what_a_backend_lacks_is_told_by_its_name(words):
    ended = run("compact", "--store", words)

    assert ended.code == 2
    assert "the backend 'file' of this store has no compaction" in ended.err


def test_missing_text_file_is_told(tmp_path):
    ended = run("get", "a", "--store", f"file:{tmp_path / 'none.txt'}")

    assert ended.code == 4
    assert "none.txt: No such file or directory" in ended.err


@pytest.mark.parametrize("command", [("get", "a"), ("set", "a", "1"), ("token", "ls")])
@pytest.mark.parametrize(
    ("address", "code"), [("mysql://me:s3cret@db/kv", 2), ("etcd://me:s3cret@127.0.0.1:1/kv", 4)]
)
def test_store_that_cannot_be_opened_is_told_without_the_password(command, address, code):
    ended = run(*command, "--store", address)

    assert ended.code == code
    assert "s3cret" not in ended.err


def test_address_that_is_none_is_a_usage_error():
    ended = run("get", "a", "--store", "http://127.0.0.1:8000")

    assert ended.code == 2
    assert "--url" in ended.err


def test_store_may_come_from_the_environment(words):
    assert run_process("get", "ant", RUNDLET_STORE=words).out == b"small"


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({}, ("--store", "a", "--data", "b")),
        ({}, ("--store", "a", "--url", "http://127.0.0.1:1")),
        ({"RUNDLET_STORE": "a", "RUNDLET_DATA": "b"}, ()),
        ({"RUNDLET_STORE": "a", "RUNDLET_URL": "http://127.0.0.1:1"}, ()),
    ],
)
def test_two_places_are_one_too_many(environ, options):
    ended = run_process("get", "a", *options, **environ)

    assert ended.code == 2
    assert "name two places" in ended.err


def test_option_wins_over_the_environment(words):
    environ = {"RUNDLET_URL": "http://127.0.0.1:1", "RUNDLET_DATA": "/nowhere"}

    assert run_process("get", "ant", "--store", words, **environ).out == b"small"


def test_tokens_are_those_of_the_store(tmp_path, words):
    folder = str(tmp_path)
    run("token", "add", "app", "--store", folder)

    assert "app" in run("token", "ls", "--data", folder).text
    ended = run("token", "ls", "--store", words)
    assert ended.code == 2
    assert "keeps no tokens" in ended.err


def test_doctor_looks_into_no_text_file(words):
    ended = run("doctor", "--store", words)

    assert ended.code == 2
    assert "doctor checks a folder, a database or a server" in ended.err
