"""Test ``rundlet watch``, on a server and on a folder."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer, free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RundletServer]:
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as served:
        for number in range(3):
            served.client.put(f"/v1/kv/a/{number}", content=b"v")
        served.client.delete("/v1/kv/a/0")
        yield served


@pytest.fixture(params=["url", "data"])
def place(request: pytest.FixtureRequest, server: RundletServer, tmp_path: Path) -> list[str]:
    if request.param == "url":
        return ["--url", server.url]
    return ["--data", str(tmp_path / "data")]


class Watching:
    """The command in a process of its own; killed in the end if it still runs."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rundlet_server", "watch", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"RUNDLET_DATA": ""},
        )
        self._timer = threading.Timer(PATIENCE_S, self.process.kill)
        self._timer.start()

    def line(self) -> str:
        """The next line of stdout; empty at its end, at the latest when patience is over."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def end(self) -> tuple[int, str, str]:
        """What is left, once the process has ended: the exit code, stdout and stderr."""
        out, err = self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def shown_on_terminal(*arguments: str) -> list[str]:
    """The first two lines that the command shows on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rundlet_server", "watch", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        timer = threading.Timer(PATIENCE_S, process.kill)
        timer.start()
        os.close(theirs)
        with open(ours, "rb") as terminal:
            lines = [terminal.readline().decode().rstrip("\r\n") for _ in range(2)]
        timer.cancel()
        process.kill()
    return lines


def test_watch_prints_changes_and_says_where_it_stopped(place, server: RundletServer):
    with Watching(*place, "a/", "--since", "1") as watching:
        lines = [watching.line().rstrip("\n").split("\t") for _ in range(3)]
        server.client.put("/v1/kv/other", content=b"v")
        server.client.put("/v1/kv/a/9", content=b"v")
        lines.append(watching.line().rstrip("\n").split("\t"))
        watching.process.send_signal(signal.SIGINT)
        code, _, err = watching.end()

    assert [line[1:] for line in lines] == [
        ["put", "2", "1", "1", "a/1"],
        ["put", "3", "1", "1", "a/2"],
        ["delete", "4", "0", "0", "a/0"],
        ["put", "6", "1", "1", "a/9"],
    ]
    assert code == 130
    assert "to go on from here: --since 6" in err


def test_watch_prints_json(place, server: RundletServer):
    with Watching(*place, "--since", "3", "--json") as watching:
        event = json.loads(watching.line())

    expected = server.client.get("/v1/changes?since=3").json()["events"][0]
    assert event == expected


def test_watch_prints_metadata_and_expiry_as_the_server_does(place, server: RundletServer):
    server.client.put("/v1/kv/a/3?ttl=60", content=b"v", headers={"KV-Meta-Owner": "ann"})

    with Watching(*place, "--since", "4", "--json") as watching:
        event = json.loads(watching.line())

    assert event == server.client.get("/v1/changes?since=4").json()["events"][0]
    assert event["meta"] == {"owner": "ann"}


def test_watch_prints_values(place, server: RundletServer):
    server.client.put("/v1/kv/a/3", content=b"x\xff\ty")
    server.client.put("/v1/kv/a/4?ttl=60", content=b"text", headers={"Content-Type": "text/plain"})
    with Watching(*place, "--since", "3", "--values") as watching:
        lines = [watching.process.stdout.readline() for _ in range(3)]
    with Watching(*place, "--since", "3", "--values", "--json") as watching:
        told = [json.loads(watching.line()) for _ in range(3)]

    assert [line.split(b"\t", 5)[5] for line in lines] == [
        b"a/0\n",
        b"a/3\tx\xff\ty\n",
        b"a/4\ttext\n",
    ]
    assert [event.get("text", event.get("base64")) for event in told] == [None, "eP8JeQ==", "text"]


def test_watch_shows_values_on_a_terminal_without_what_could_drive_it(server: RundletServer):
    server.client.put("/v1/kv/evil", content=b"\x1b[2Jline\n" + b"x" * 200)

    heading, line = shown_on_terminal("evil", "--since", "4", "--values", "--url", server.url)

    assert heading.split() == ["time", "change", "revision", "version", "size", "key", "value"]
    assert "\\x1b[2Jline\\n" in line
    assert line.endswith("…")


def test_program_gets_each_change(place, tmp_path: Path):
    script = (
        "import json, os, sys; e = json.load(sys.stdin);"
        "names = ('KEY', 'OP', 'REVISION', 'VERSION');"
        "print(*(os.environ['RUNDLET_' + n] for n in names), e['key'], sys.argv[1], flush=True)"
    )
    with Watching(
        *place, "--since", "2", "--exec", sys.executable, "-c", script, "--json"
    ) as watching:
        lines = [watching.line() for _ in range(2)]

    assert lines == ["a/2 put 3 1 a/2 --json\n", "a/0 delete 4 0 a/0 --json\n"]


def test_failing_program_is_reported_and_the_watch_goes_on(server: RundletServer):
    script = "import sys; print('ran', flush=True); sys.exit(7)"
    with Watching(
        "--url", server.url, "--since", "2", "--exec", sys.executable, "-c", script
    ) as watching:
        lines = [watching.line() for _ in range(2)]
        watching.process.send_signal(signal.SIGINT)
        _, _, err = watching.end()

    assert lines == ["ran\n", "ran\n"]
    assert "failed for 'a/2' at revision 3: exit code 7" in err


def test_failing_program_ends_the_watch_where_that_is_asked_for(server: RundletServer):
    script = "import sys; sys.exit(7)"
    arguments = ["--since", "2", "--stop-on-error", "--exec", sys.executable, "-c", script]
    with Watching("--url", server.url, *arguments) as watching:
        code, _, err = watching.end()

    assert code == 4
    assert "to go on with this change: --since 2" in err


def test_watch_goes_on_after_a_restart(tmp_path: Path):
    port = free_port()
    arguments = ("--data", tmp_path / "data", "--port", str(port))
    with RundletServer(*arguments, stderr_path=tmp_path / "first") as server:
        server.client.put("/v1/kv/a", content=b"1")
        watching = Watching("--url", server.url, "--since", "0")
        lines = [watching.line()]
    with watching, RundletServer(*arguments, stderr_path=tmp_path / "second") as server:
        server.client.put("/v1/kv/b", content=b"1")
        lines.append(watching.line())

    assert [line.rstrip("\n").split("\t")[-1] for line in lines] == ["a", "b"]


def test_no_server_at_the_start_is_an_error():
    ended = run("watch", "--url", f"http://127.0.0.1:{free_port()}")

    assert ended.code == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exec", "no such program"], "there is no program 'no such program'"),
        (["--stop-on-error"], "--stop-on-error needs --exec"),
        (["--exec"], "--exec"),
        (["--since", "99"], "does not exist yet"),
    ],
)
def test_what_cannot_be_watched_is_refused(server: RundletServer, arguments, message: str):
    ended = run("watch", "--url", server.url, *arguments)

    assert ended.code == 2
    assert message in ended.err
