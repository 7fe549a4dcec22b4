"""Errors: one line in the words of the command line, JSON for machines, the right exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rundlet_server.cli.commands import top
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Ended, run
from tests.support.processes.servers import RundletServer
from tests.support.wire.served_model import served


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for tokens, and the tokens."""
    data = tmp_path_factory.mktemp("guarded")
    tokens = {"reader": TokenFile(data).add("reader", "read", prefix="a/")[1]}
    with RundletServer("--data", data, stderr_path=data / "log") as server:
        yield server.url, tokens


COMMANDS = [
    "get a/x",
    "set a/x v",
    "del a/x",
    "ls",
    "mget a/x",
    "stats",
    "compact",
    "top --count 1",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_token_is_not_allowed_and_names_the_option(guarded, command):
    url, _ = guarded
    ended = run(*command.split(), "--url", url)

    assert ended.code == 6
    assert "--token" in ended.err
    assert "Authorization" not in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", ["set a/x v", "get b", "stats", "compact", "top --count 1"])
def test_token_that_is_for_less_is_not_allowed(guarded, command):
    url, tokens = guarded
    ended = run(*command.split(), "--url", url, "--token", tokens["reader"])

    assert ended.code == 6
    assert ended.err.count("--token") == 1
    assert "; send " not in ended.err
    assert ended.err.count(";") == 1


def test_unknown_token_is_not_allowed(guarded):
    ended = run("get", "a/x", "--url", guarded[0], "--token", "rundlet_wrong")

    assert ended.code == 6
    assert ended.err == (
        "rundlet: the server refuses this token, which is unknown, expired or revoked;"
        " give another with --token or RUNDLET_TOKEN\n"
    )


def test_doctor_without_a_token_is_not_allowed_to_look(guarded):
    assert run("doctor", "--url", guarded[0]).code == 6


def test_read_only_server_is_not_allowed_to_write_to():
    with served(ModelStore(), ServerSettings(read_only=True)) as url:
        ended = run("set", "k", "v", "--url", url)

    assert ended.code == 6
    assert "--token" not in ended.err  # no token helps


def test_failed_precondition_is_told_without_headers():
    with served(ModelStore()) as url:
        run("set", "k", "v", "--url", url)
        taken = run("set", "k", "w", "--if-absent", "--url", url)
        other = run("set", "k", "w", "--if-revision", "7", "--url", url)
        missing = run("set", "none", "w", "--if-revision", "7", "--url", url)

    at_1 = "rundlet: the condition does not hold: the key is at revision 1; nothing was changed\n"
    assert (taken.code, taken.err) == (3, at_1)
    assert (other.code, other.err) == (3, at_1)
    assert "the key has no value" in missing.err


def error_of(ended: Ended) -> str:
    """The message of an error in JSON, which is all that stands on stderr."""
    members = json.loads(ended.err)
    assert ended.err.count("\n") == 1
    assert members.keys() == {"error", "exit_code"}
    assert members["exit_code"] == ended.code
    return members["error"]


def test_errors_are_json_with_json(guarded, tmp_path):
    url, _ = guarded

    assert "--token" in error_of(run("get", "k", "--url", url, "--json"))
    assert "--token" in error_of(run("--json", "--url", url, "get", "k"))
    assert "no such store" in error_of(run("get", "k", "--json", "--data", str(tmp_path)))
    assert "no answer" in error_of(run("ls", "--json", "--url", "http://127.0.0.1:1"))
    assert "No such option" in error_of(run("get", "k", "--json", "--foo"))
    assert "No such command" in error_of(run("--json", "gett", "k"))


@pytest.mark.parametrize("form", [("--format", "json"), ("--format=jsonl",)])
def test_errors_are_json_with_a_format_of_json(form):
    nowhere = ("--url", "http://127.0.0.1:1")

    assert "no answer" in error_of(run("ls", *form, *nowhere))
    assert "no answer" in error_of(run("--url", "http://127.0.0.1:1", "stats", *form))
    assert "No such option" in error_of(run("config", *form, "--foo"))
    assert run("ls", "--format", "csv", *nowhere).err.startswith("rundlet: no answer")
    assert run("export", "--format", "jsonl", *nowhere).err.startswith("rundlet: no answer")
    assert run("ls", *nowhere, "--", "--format=json").err.startswith("rundlet: ")


def test_key_that_is_called_json_is_no_option():
    with served(ModelStore()) as url:
        assert run("get", "--url", url, "--", "--json").err == "rundlet: no value for '--json'\n"


@pytest.mark.parametrize(
    "command", ["get k", "set k v", "stats", "verify", "repair", "token ls", "doctor"]
)
def test_empty_data_is_refused(tmp_path, monkeypatch, command):
    """As an unset variable leaves it; it would name the folder that the shell is in."""
    monkeypatch.chdir(tmp_path)
    ended = run(*command.split(), "--data", "")

    assert ended.code == 2
    assert "--data" in ended.err
    assert "is a variable not set?" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_empty_url_is_refused():
    ended = run("get", "k", "--url", "")

    assert ended.code == 2
    assert "--url" in ended.err


@pytest.mark.parametrize(
    "command",
    [
        "get k",
        "del k",
        "ls",
        "mget k",
        "stats",
        "compact",
        "export",
        "verify",
        "repair",
        "token ls",
    ],
)
def test_command_that_creates_nothing_leaves_a_mistyped_folder_alone(tmp_path, command):
    typo = tmp_path / "typo"
    ended = run(*command.split(), "--data", str(typo))

    assert not typo.exists()
    if command != "token ls":
        assert ended.code == 4
        assert "--data" in ended.err


@pytest.mark.parametrize("command", ["set k v", "incr k", "mset k=v"])
def test_command_that_creates_a_store_says_so(tmp_path, command):
    place = ("--data", str(tmp_path / "new"))
    first, second = run(*command.split(), *place), run(*command.split(), *place)

    assert first.err == f"Created a new store in {tmp_path / 'new'}.\n"
    assert (second.code, second.err) == (0, "")


@pytest.mark.parametrize("ttl", ["90", "90s", "1.5m", "90000ms"])
def test_time_to_live_takes_units(ttl):
    store = ModelStore()
    with served(store) as url:
        assert run("set", "k", "v", "--ttl", ttl, "--url", url).code == 0
    entry = store.get("k")

    assert entry is not None
    assert entry.expires_us == entry.time_us + 90_000_000


@pytest.mark.parametrize("ttl", ["0", "0s", "-1s", "1y", "s", "", "inf", "nan", "1e999"])
def test_impossible_time_to_live_is_a_usage_error(ttl):
    ended = run("set", "k", "v", "--ttl", ttl)

    assert ended.code == 2
    assert "--ttl" in ended.err


@pytest.mark.parametrize("every", ["10ms", "2h", "soon"])
def test_impossible_pause_of_top_is_a_usage_error(every):
    assert run("top", "--every", every).code == 2


def test_pause_of_top_takes_units(monkeypatch):
    waited = []
    monkeypatch.setattr(top.time, "sleep", waited.append)
    with served(ModelStore()) as url:
        assert run("top", "--every", "500ms", "--count", "1", "--url", url).code == 0

    assert waited == [0.5]


@pytest.mark.parametrize("size", ["1KiB", "1kib", "1.024kB", "1024", "1024B"])
def test_size_takes_units(tmp_path: Path, size):
    options = ("--keys", "10", "--operations", "10", "--value-size", size, "--json")
    ended = run("bench", *options, "--data", str(tmp_path))

    assert json.loads(ended.out)["conditions"]["value_size"] == 1_024


@pytest.mark.parametrize("size", ["1.5", "1XB", "KB", "-1", "", "65MiB"])
def test_impossible_size_is_a_usage_error(size):
    ended = run("bench", "--value-size", size)

    assert ended.code == 2
    assert "--value-size" in ended.err


@pytest.mark.parametrize("by", ["9223372036854775808", "-9223372036854775809", "9" * 30])
def test_number_beyond_64_bits_is_refused_before_it_is_sent(by):
    ended = run("incr", "visits", by, "--url", "http://127.0.0.1:9")

    assert ended.code == 2
    assert "922337203685477580" in ended.err
