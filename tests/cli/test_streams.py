"""Standard streams that are closed, full or read by a program that stops reading."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Put, Txn
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served


@dataclass(frozen=True)
class Shell:
    """Runs lines of bash in which ``rundlet`` talks to a server."""

    folder: Path

    def run(self, line: str) -> tuple[int, bytes, str]:
        """The exit code of a line, its stdout and its stderr."""
        path = f"{self.folder}:/usr/bin:/bin"
        command = ["bash", "--norc", "-o", "pipefail", "-c", line]
        ended = subprocess.run(
            command, capture_output=True, check=False, timeout=60, env={"PATH": path}
        )
        return ended.returncode, ended.stdout, ended.stderr.decode()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("bin")
    store = ModelStore()
    for number in range(5_000):
        store.commit(Txn([Put(f"{number:05}" + "x" * 100, b"v", "text/plain")]))
    with served(store) as url:
        (folder / "rundlet").write_text(
            f"#!/bin/sh\nexport RUNDLET_URL={url}\n"
            f'exec {sys.executable} -m rundlet_server.cli.main "$@"\n'
        )
        (folder / "rundlet").chmod(0o755)
        yield Shell(folder)


@pytest.mark.parametrize("command", ["ls", "ls --long", "export", "stats", "--help", "get --help"])
def test_reader_that_stops_reading_ends_the_command_quietly(shell, command):
    code, _, complaint = shell.run(f"rundlet {command} | head -c 1 | true; exit $PIPESTATUS")

    # As cat and every other program that SIGPIPE ends; or all was written before.
    assert code in {141, 0}
    assert complaint == ""


def test_long_list_that_is_cut_by_head_is_no_error_message(shell):
    code, shown, complaint = shell.run("rundlet ls | head -1")

    assert code == 141
    assert shown == b"00000" + b"x" * 100 + b"\n"
    assert complaint == ""


WRITING = ["ls", "ls --limit 1", "get 00000" + "x" * 100, "stats", "export", "config", "doctor"]
PRINTING = ["--help", "--version", "get --help"]


@pytest.mark.parametrize("command", WRITING + PRINTING)
def test_full_stdout_is_one_line_and_exit_code_4(shell, command):
    code, _, complaint = shell.run(f"rundlet {command} > /dev/full")

    assert code == 4
    assert complaint.startswith("rundlet: ")
    assert "No space left on device; free some space and try again" in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("command", WRITING)
def test_closed_stdout_is_one_line_and_exit_code_4(shell, command):
    code, _, complaint = shell.run(f"rundlet {command} >&-")

    assert code == 4
    assert complaint == "rundlet: stdout: it is closed; send it to /dev/null instead\n"


def test_full_stdout_is_reported_as_json_to_machines(shell):
    _, _, complaint = shell.run("rundlet ls --json > /dev/full")

    assert json.loads(complaint) == {
        "error": "stdout: No space left on device; free some space and try again",
        "exit_code": 4,
    }


def test_command_that_prints_nothing_needs_no_streams(shell):
    assert shell.run("rundlet set quiet v >&- 2>&- <&-")[0] == 0
    assert shell.run("rundlet get quiet")[1] == b"v"
    assert shell.run("rundlet get missing 2>&-")[0] == 1


def test_closed_stdin_is_not_an_empty_value(shell):
    code, _, complaint = shell.run("rundlet set k - <&-")

    assert code == 4
    assert complaint == "rundlet: stdin: it is closed; nothing can be read\n"


def test_files_never_get_the_numbers_of_closed_streams(shell, tmp_path):
    """Else a library that writes to stderr would write into the store."""
    place = f"--data {tmp_path}/store"

    assert shell.run(f"rundlet set k v {place} 0<&- 1>&- 2>&-")[0] == 0
    assert shell.run(f"rundlet verify {place}")[0] == 0
