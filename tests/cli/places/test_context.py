"""Test contexts: where a command goes, and to whom a token is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rundlet_server.cli.arguments import general_first
from tests.support.processes.command_line import Ended, run, run_process


class User:
    """A user with contexts."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str, **environ: str) -> Ended:
        return run(*arguments, XDG_CONFIG_HOME=str(self.home), **environ)


@pytest.fixture
def user(tmp_path):
    return User(tmp_path / "config")


@pytest.fixture
def folders(tmp_path, user):
    for name in ("one", "two"):
        folder = str(tmp_path / name)
        user.run("set", "who", name, "--data", folder)
        assert user.run("context", "add", name, "--data", folder).code == 0


def test_context_is_chosen_by_option_variable_and_use(user, folders):
    assert user.run("get", "who", "-c", "one").out == b"one"
    assert user.run("-c", "two", "get", "who").out == b"two"
    assert user.run("get", "who", "--context=two").out == b"two"
    assert user.run("get", "who", RUNDLET_CONTEXT="one").out == b"one"

    assert user.run("context", "use", "two").code == 0

    assert user.run("get", "who").out == b"two"
    assert user.run("get", "who", "-c", "one").out == b"one"


def test_named_place_wins_over_the_context_in_use(user, folders, tmp_path):
    user.run("context", "use", "two")

    assert user.run("get", "who", "--data", str(tmp_path / "one")).out == b"one"
    assert user.run("get", "who", RUNDLET_DATA=str(tmp_path / "one")).out == b"one"
    assert user.run("get", "who", "-c", "two", RUNDLET_DATA=str(tmp_path / "one")).out == b"two"
    assert user.run("context", "use").code == 0
    assert user.run("get", "who", "--url", "http://127.0.0.1:1").code == 4


def test_contexts_are_listed_and_removed(user, folders, tmp_path):
    user.run("context", "use", "one")

    assert (
        user.run("context", "ls").text == f"*\tone\t{tmp_path / 'one'}\n\ttwo\t{tmp_path / 'two'}\n"
    )
    rows = json.loads(user.run("context", "ls", "--format", "json").text)
    assert [(row["name"], row["current"]) for row in rows] == [("one", True), ("two", False)]
    removed = user.run("context", "rm", "one")
    assert removed.err == "No context is in use now.\n"
    assert user.run("context", "rm", "one").code == 1
    assert user.run("get", "who", "-c", "one").code == 2


@contextmanager
def listening() -> Iterator[tuple[str, list[str | None]]]:
    """A server that finds nothing, and the tokens that were shown to it."""
    shown: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", shown
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_token_of_a_context_is_shown_to_its_own_server_only(user, tmp_path):
    file = tmp_path / "token"
    file.write_text("secret\n")
    with listening() as (own, shown), listening() as (other, shown_to_other):
        user.run("context", "add", "prod", "--url", own, "--token-file", str(file))
        user.run("context", "use", "prod")

        user.run("get", "k")
        user.run("get", "k", "-c", "prod", RUNDLET_TOKEN="of-the-environment")
        user.run("get", "k", "--token", "given")
        user.run("top", "--count", "1")
        user.run("get", "k", "--url", other)
        user.run("get", "k", RUNDLET_URL=other)

    assert shown[:3] == ["Bearer secret", "Bearer secret", "Bearer given"]
    assert set(shown[3:]) == {"Bearer secret"}
    assert shown_to_other == [None, None]
    assert "secret" not in (user.home / "rundlet" / "contexts.json").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "x"),
        ("add", "x", "--url", "http://h:1", "--data", "d"),
        ("add", "a b", "--data", "d"),
        ("add", "x", "--data", "d", "--token-file", "f"),
        ("add", "x", "--url", "http://h:1", "--token-file", "/no/such/file"),
    ],
)
def test_context_that_cannot_work_is_refused(user, arguments):
    assert user.run("context", *arguments).code == 2
    assert user.run("context", "ls").text == ""


def test_file_behind_a_link_is_replaced_and_not_the_link(user, tmp_path):
    link, real = user.home / "rundlet" / "contexts.json", tmp_path / "dotfiles.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)

    assert user.run("context", "add", "office", "--data", "büro").code == 0

    assert link.is_symlink()
    assert list(json.loads(real.read_bytes())["contexts"]) == ["office"]
    assert "büro" in user.run("context", "ls").text


def test_broken_file_is_named(user):
    path = user.home / "rundlet" / "contexts.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")

    ended = user.run("get", "k")

    assert ended.code == 2
    assert str(path) in ended.err


def test_commands_need_no_home(tmp_path):
    run("set", "k", "v", "--data", str(tmp_path / "d"))

    ended = run_process("get", "k", "--data", str(tmp_path / "d"), HOME="", XDG_CONFIG_HOME="")

    assert ended.out == b"v"


@pytest.mark.parametrize(
    ("arguments", "first", "others"),
    [
        (["get", "k", "-c", "a"], ["-c", "a"], ["get", "k"]),
        (["--ca-file=f", "get", "k"], ["--ca-file=f"], ["get", "k"]),
        (["set", "k", "--", "-c"], [], ["set", "k", "--", "-c"]),
        (["watch", "--exec", "sh", "-c", "x"], [], ["watch", "--exec", "sh", "-c", "x"]),
        (["ls", "-c"], ["-c"], ["ls"]),
        (["set", "k", "-c=1"], [], ["set", "k", "-c=1"]),
    ],
)
def test_general_options_are_found_wherever_they_stand(arguments, first, others):
    assert general_first(arguments) == (first, others)
