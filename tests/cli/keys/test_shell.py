"""Test the shell: lines in a pipe, the prompt on a terminal, completion, one connection."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest

from rundlet import Client
from rundlet_server.cli.shell.lines import completions
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place, run, run_process
from tests.support.wire.served_model import served


def test_lines_run_as_commands(place):
    place.run("set", "start", "1")

    ended = place.run("shell", stdin=b"mset a=1 'b c=2'\n# nothing\n\nrundlet ls\nincr a\n")

    assert (ended.code, ended.text) == (0, "a\nb c\nstart\n2\n")


def test_failure_is_reported_and_the_next_line_runs(place):
    place.run("set", "a", "1")

    ended = place.run("shell", stdin=b"get none\nnonsense\nset 'a\nshell\nls\nexit\nls\n")

    assert (ended.code, ended.text) == (1, "a\n")
    assert [line.split(":")[0] for line in ended.err.splitlines()] == ["rundlet"] * 4


def test_line_may_name_another_place(place, tmp_path):
    place.run("set", "a", "here")
    other = tmp_path / "other"
    run("set", "a", "there", "--data", str(other))

    ended = place.run("shell", stdin=f"mget a --data {other}\nmget a\n".encode())

    assert ended.text == "a\tthere\na\there\n"


def test_all_lines_share_one_connection(monkeypatch):
    opened: list[object] = []
    made = Client.__init__

    def counted(self, *arguments, **options):
        opened.append(self)
        made(self, *arguments, **options)

    monkeypatch.setattr(Client, "__init__", counted)
    with served(ModelStore()) as url:
        ended = run("shell", "--url", url, stdin=b"set a 1\nget a\nls\nstats\n")

    assert ended.code == 0
    assert len(opened) == 1


def test_place_that_is_not_there_is_one_line(tmp_path):
    assert run("shell", "--data", str(tmp_path / "none"), stdin=b"ls\n").code == 4


@pytest.mark.parametrize(
    ("before", "text", "expected"),
    [
        ("", "mg", ["mget "]),
        ("", "he", ["help "]),
        ("help ", "to", ["touch", "token", "top"]),
        ("get ", "u", ["users/1", "users/2/"]),
        ("get ", "users/1", ["users/1"]),
        ("get ", "with", ["'with blank'"]),
        ("get ", "'with", ["'with blank'"]),
        ("get one ", "", []),
        ("mget one ", "o", ["one"]),
        ("cp one ", "o", ["one"]),
        ("set one ", "o", []),
        ("ls --start ", "o", ["one"]),
        ("ls --limit ", "o", []),
        ("get ", "users/2", ["users/2/a", "users/2/b"]),
        ("get ", "--ver", ["--version "]),
        ("token ", "a", ["add "]),
        ("token add ", "--sc", ["--scope "]),
        ("nonsense ", "", []),
    ],
)
def test_tab_offers_what_may_stand_there(before, text, expected):
    with served(ModelStore()) as url:
        Place(("--url", url)).run(
            *("mset", "one=1", "users/1=1", "users/2/a=1", "users/2/b=1", "with blank=1")
        )
        with Client(url) as client:
            found = completions(client, before, text)

    assert found == expected


def typed(url: str, home: str, *parts: bytes) -> bytes:
    """What a terminal shows of a shell; each part is typed when there is a prompt."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rundlet_server", "shell", "--url", url]
    environ = {"PATH": os.environ["PATH"], "HOME": home, "TERM": "dumb", "XDG_STATE_HOME": home}
    shown = b""
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as shell:
        os.close(theirs)
        left = list(parts)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                shown += os.read(ours, 4_096)
            except OSError:
                break
            if left and shown.count(b"rundlet> ") > len(parts) - len(left):
                os.write(ours, left.pop(0))
        shell.wait(PATIENCE_S)
    os.close(ours)
    return shown


def test_terminal_completes_keys_and_remembers_lines(tmp_path):
    with served(ModelStore()) as url:
        Place(("--url", url)).run("set", "greeting", "hello")

        shown = typed(url, str(tmp_path), b"get gr\t\n", b"\x04")
        again = typed(url, str(tmp_path), b"\x10\n", b"exit\n")

    assert b"hello" in shown
    assert b"Traceback" not in shown
    assert b"hello" in again  # Ctrl-P brought the line back
    history = tmp_path / "rundlet" / "shell_history"
    assert history.stat().st_mode & 0o077 == 0


def test_bash_completes_keys_of_the_store(place):
    place.run("mset", "users/1=1", "users/2=1", "other=1", "bad\x1b=1")
    options = " ".join(place.options)

    def completed(line: str) -> list[str]:
        words = line.replace("OPTIONS", options)
        asked = {
            "_RUNDLET_COMPLETE": "complete_bash",
            "COMP_WORDS": f"rundlet {words}",
            "COMP_CWORD": str(len(words.split(" "))),
        }
        return run_process(**asked).text.split()

    assert completed("get OPTIONS u") == ["users/1", "users/2"]
    assert completed("ls OPTIONS --start o") == ["other"]
    assert completed("mv OPTIONS other users/1") == ["users/1"]
    assert completed("get OPTIONS b") == []
    assert completed("get --url http://127.0.0.1:1 u") == []
