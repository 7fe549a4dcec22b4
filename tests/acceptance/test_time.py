"""Use history, feed, backup and restore as a new user does: by the command line alone.

A key is changed five times, its history is read, a prefix is rolled back to a moment, a deleted key
is brought back, a watch in another terminal goes on through a restart of the server. Six writers
write while the store is backed up; then the server is killed, its folder is destroyed and restored
as it was at several moments, which is compared with what the writers know to be acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from rundlet import Client, RundletError
from tests.support import PATIENCE_S
from tests.support.processes.command_line import Ended, run
from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, kill_whole, start
from tests.support.processes.servers import free_port, wait_for

WRITERS = 6
KEYS_EACH = 5
VALUES = ["red", "green", "blue", "black", "white"]


class Length(NamedTuple):
    """How long a form of the test takes.

    Attributes:
        quiet_s: the time between the good state and the bad one.
        backups: how many are taken while writers write.
        between_s: the time between two of them.
    """

    quiet_s: float
    backups: int
    between_s: float


@pytest.mark.parametrize("options", SERVERS, ids=SERVER_NAMES)
def test_the_past_is_read_rolled_back_followed_and_restored(
    tmp_path: Path, options: Sequence[str]
) -> None:
    walk(tmp_path, options, Length(quiet_s=0.1, backups=3, between_s=0.4))


@pytest.mark.soak
@pytest.mark.parametrize("options", SERVERS, ids=SERVER_NAMES)
def test_the_past_of_minutes_is_read_rolled_back_followed_and_restored(
    tmp_path: Path, options: Sequence[str]
) -> None:
    walk(tmp_path, options, Length(quiet_s=20, backups=8, between_s=5))


def walk(folder: Path, options: Sequence[str], length: Length) -> None:
    user = User(folder, [*options, "--port", str(free_port())])
    with contextlib.ExitStack() as stack:
        stack.callback(user.stop)
        user.start()
        watch = stack.enter_context(Watching(user.url, folder / "watched"))
        change_and_roll_back(user, length.quiet_s)
        bring_back(user)

        user.stop()
        user.start()

        user.run("set", "config/color", "after the restart")
        watch.has_shown(user.feed("config/"))
        writers, moments = write_and_back_up(user, length)
        user.run("set", "config/color", "after the last backup")
        watch.has_shown(user.feed("config/"))
        destroy(user, writers)
        compare_restores(user, writers, moments)
        watch.has_ended("restored as it was at revision")


def change_and_roll_back(user: User, quiet_s: float) -> None:
    """Change a value five times, look at its history, and undo what came after a moment."""
    for value in VALUES:
        user.run("set", "config/color", value)
    user.run("mset", "config/size=10", "other=1")
    history = [line.split("\t") for line in user.lines("history", "config/color")]
    assert [cells[1:3] for cells in history] == [[str(n), "put"] for n in (5, 4, 3, 2, 1)]
    for revision, version, *_ in history:
        by_version = user.run("get", "config/color", "--version", version).text
        assert by_version == VALUES[int(version) - 1]
        assert user.run("get", "config/color", "--rev", revision).text == by_version

    time.sleep(quiet_s / 2 + 0.01)
    good = rfc3339(time.time())
    time.sleep(quiet_s / 2 + 0.01)
    user.run("mset", "config/color=bad", "config/debug=on", "other=2")
    user.run("del", "config/size")

    expected = {"config/color": "changed", "config/debug": "added", "config/size": "removed"}
    rows = [line.split("\t") for line in user.lines("diff", good, "--prefix", "config/")]
    assert {cells[-1]: cells[0] for cells in rows} == expected
    before = user.run("export", "--prefix", "config/").out
    dry = user.run("rollback", "--prefix", "config/", "--to", good, "--dry-run").text
    assert dry.splitlines()[-1] == "would be: 2 restored, 1 deleted, 0 unchanged"
    assert user.run("export", "--prefix", "config/").out == before
    user.run("rollback", "--prefix", "config/", "--to", good)
    assert user.lines("mget", "config/color", "config/size", "other") == [
        "config/color\twhite",
        "config/size\t10",
        "other\t2",
    ]
    assert user.lines("ls", "config/") == ["config/color", "config/size"]
    assert user.lines("diff", good, "--prefix", "config/") != []  # the revisions are new ones
    assert user.lines("ls", "config/", "--at", good) == ["config/color", "config/size"]


def bring_back(user: User) -> None:
    user.run("del", "config/color")
    user.run("rollback", "config/color")
    assert user.run("get", "config/color").text == "white"
    operations = [line.split("\t")[2] for line in user.lines("history", "config/color")]
    assert operations == ["restore", "delete", "restore", *["put"] * 6]


class Moment(NamedTuple):
    """A time at which the store is restored; ``None``: as of the newest backup."""

    from_s: float
    to_s: float
    argument: str | None


def write_and_back_up(user: User, length: Length) -> tuple[list[Writer], list[Moment]]:
    """Start writers and take backups; the writers go on."""
    moments: list[Moment] = []
    writers = [Writer(user.url, f"writer-{number}") for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    wait_for(lambda: all(writer.acknowledged for writer in writers))
    for _ in range(length.backups):
        time.sleep(length.between_s)
        moment_s = time.time()
        moments.append(Moment(moment_s, moment_s, rfc3339(moment_s)))
        time.sleep(0.01)
        began_s = time.time()
        user.run("backup", user.backups)
        newest = Moment(began_s, time.time(), None)
    return writers, [*moments, newest]


def destroy(user: User, writers: list[Writer]) -> None:
    """Kill the server while the writers write, and remove its folder."""
    user.kill()
    shutil.rmtree(user.data)
    for writer in writers:
        writer.join(PATIENCE_S)


def compare_restores(user: User, writers: list[Writer], moments: list[Moment]) -> None:
    """Restore each moment, the newest backup last; serve that, so that the user can go on."""
    succeeded("verify", "--backup", user.backups)
    for moment in moments:
        shutil.rmtree(user.data, ignore_errors=True)
        to_time = [] if moment.argument is None else ["--to-time", moment.argument]
        succeeded("restore", user.backups, "--to", str(user.data), *to_time)
        succeeded("verify", "--data", str(user.data))
        found = values_in(user.data)
        for writer in writers:
            writer.check(found, moment)
    user.start()
    assert user.run("get", "config/color").text == "after the restart"
    assert user.lines("history", "config/color")[-1].split("\t")[1:3] == ["1", "put"]


class Writer(threading.Thread):
    """Writes numbers to its keys in turn, and notes when each was acknowledged.

    It writes until its server is gone, so that some of what it wrote may be lost.

    Attributes:
        sent: when each number was sent.
        acknowledged: and when it was acknowledged; the last one that was sent may be missing.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name=name)
        self.sent: list[float] = []
        self.acknowledged: list[float] = []
        self._url = url

    def run(self) -> None:
        with Client(self._url, retries=0) as client, contextlib.suppress(RundletError):
            while True:
                number = len(self.sent)
                self.sent.append(time.time())
                client.set(self._key(number), str(number))
                self.acknowledged.append(time.time())

    def check(self, found: dict[str, str], moment: Moment) -> None:
        """Check that the store has what was acknowledged by a moment, and nothing sent later."""
        numbers = [int(found.get(self._key(key), -1)) for key in range(KEYS_EACH)]
        last = max(numbers)
        needed = [n for n in range(last + 1) if n > last - KEYS_EACH]
        assert sorted(numbers) == [-1] * (KEYS_EACH - len(needed)) + needed, "one was lost"
        assert last < 0 or self.sent[last] <= moment.to_s, "it was not yet sent"
        later = self.acknowledged[last + 1 :]
        assert not later or later[0] >= moment.from_s, "a later one was acknowledged by then"

    def _key(self, number: int) -> str:
        return f"{self.name}/{number % KEYS_EACH}"


class Watching:
    """``rundlet watch`` in another terminal, with its lines in a file."""

    def __init__(self, url: str, path: Path) -> None:
        self._out, self._err = path.with_suffix(".out"), path.with_suffix(".err")
        command = [sys.executable, "-m", "rundlet_server", "watch", "config/", "--since", "0"]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*command, "--json", "--url", url], stdout=out, stderr=err
            )

    def has_shown(self, events: list[dict[str, object]]) -> None:
        """Wait until it has shown these events; no other, none twice."""

        def shown() -> list[dict[str, object]]:
            lines = self._out.read_bytes().splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith(b"\n")]

        wait_for(lambda: len(shown()) >= len(events))
        assert shown() == events

    def has_ended(self, reason: str) -> None:
        """Wait until it has ended, and check that it says why."""
        assert self._process.wait(PATIENCE_S) == 1
        assert reason in self._err.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGINT)
            self._process.wait(PATIENCE_S)


class User:
    """A person with a shell, a server at one address, and a directory for backups."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.data = folder / "data"
        self.backups = str(folder / "backups")
        self._folder = folder
        self._options = options
        self._server: contextlib.ExitStack = contextlib.ExitStack()

    def start(self) -> None:
        self._running = self._server.enter_context(start(self._folder, *self._options))
        self.url = self._running.url

    def stop(self) -> None:
        if self._running.process.poll() is None:
            assert self._running.stop() == 0
        self._server.close()

    def kill(self) -> None:
        kill_whole(self._running)
        self._server.close()

    def run(self, *arguments: str) -> Ended:
        return succeeded(*arguments, "--url", self.url)

    def lines(self, *arguments: str) -> list[str]:
        return self.run(*arguments).text.splitlines()

    def feed(self, prefix: str) -> list[dict[str, object]]:
        """Everything that the server tells of a prefix, as one page."""
        answer = self._running.client.get(f"/v1/changes?since=0&prefix={prefix}")
        events: list[dict[str, object]] = answer.json()["events"]
        return events


def succeeded(*arguments: str) -> Ended:
    ended = run(*arguments)
    assert ended.code == 0, f"{arguments}: {ended.err}"
    return ended


def values_in(folder: Path) -> dict[str, str]:
    rows = succeeded("export", "--data", str(folder)).text.splitlines()
    return {row["key"]: row["text"] for row in map(json.loads, rows)}


def rfc3339(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z")
