"""Run ``rundlet`` in tests: in this process, or as a process of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from rundlet_server.cli.main import app

_ALONE = {"XDG_CONFIG_HOME": "/nonexistent", "XDG_STATE_HOME": "/nonexistent"}
"""What the user of this machine has set up is no part of a test."""
_CLEAN = {
    name: value for name, value in os.environ.items() if not name.startswith("RUNDLET_")
} | _ALONE


@dataclass(frozen=True)
class Ended:
    """The result of a command: its exit code and output."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


@dataclass(frozen=True)
class Place:
    """The place of the data for the commands of a test: ``--url URL`` or ``--data DIR``."""

    options: tuple[str, ...]

    def run(self, command: str, *arguments: str, stdin: bytes = b"") -> Ended:
        return run(command, *self.options, *arguments, stdin=stdin)


def keep_state_in(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands note in a folder how far they are."""
    monkeypatch.setenv("XDG_STATE_HOME", folder)  # for processes that a test starts itself
    for environ in (_ALONE, _CLEAN):
        monkeypatch.setitem(environ, "XDG_STATE_HOME", folder)


def run(*arguments: str, stdin: bytes = b"", **environ: str) -> Ended:
    """Run a command in this process; its stdout counts as a pipe."""
    names = ("URL", "DATA", "STORE", "TOKEN", "CONTEXT", "CA_FILE")
    nothing = {f"RUNDLET_{name}": None for name in names}
    result = CliRunner().invoke(
        app, arguments, prog_name="rundlet", input=stdin, env=nothing | _ALONE | environ
    )
    return Ended(result.exit_code, result.stdout_bytes, result.stderr)


def run_process(*arguments: str | bytes, stdin: bytes = b"", **environ: str) -> Ended:
    """Run a command as a process of its own."""
    command = [sys.executable, "-m", "rundlet_server", *arguments]
    ended = subprocess.run(
        command, input=stdin, capture_output=True, timeout=60, env=_CLEAN | environ, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode())


def run_on_terminal(*arguments: str, **environ: str) -> Ended:
    """Run a command with stdout and stderr on a terminal, which shows both as one."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rundlet_server", *arguments]
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=_CLEAN | environ
        ) as process:
            os.close(theirs)
            shown = _read_to_end(ours)
            code = process.wait(60)
    finally:
        os.close(ours)
    return Ended(code, shown.replace(b"\r\n", b"\n"), "")


def _read_to_end(terminal: int) -> bytes:
    shown = b""
    while True:
        try:
            more = os.read(terminal, 65_536)
        except OSError:  # what Linux answers once the other side is closed
            return shown
        if not more:
            return shown
        shown += more
