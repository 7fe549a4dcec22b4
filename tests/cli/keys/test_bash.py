"""Completion in a real bash, on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.cli.bash import escaped, open_quote
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place, run_process
from tests.support.wire.served_model import served

KEYS = ["user:42:name", "user:43", "team@home/a=b", "my key", "it's;$(here)", "plain/1", "*"]
PROMPT = b"READY>"


class Bash:
    """A bash on a terminal, into which a test types."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.url = environ["RUNDLET_URL"]
        self._terminal, theirs = pty.openpty()
        command = ["bash", "--noprofile", "--rcfile", str(folder / "rc"), "-i"]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self._process = subprocess.Popen(command, **streams, env=environ, cwd=folder)
        os.close(theirs)
        self._until(PROMPT)

    def completed(self, typed: str) -> str:
        """What a line is after a tab, when it is run: its arguments are printed."""
        os.write(self._terminal, typed.encode() + b"\t")
        # What is completed has come when the next keys are answered.
        os.write(self._terminal, b"\x05 #END\r")
        shown = self._until(b"(?s)RAN:.*" + PROMPT)
        return re.search(rb"RAN:([^\r\n]*)", shown)[1].decode()

    def end(self) -> None:
        """End it."""
        os.write(self._terminal, b"exit\r")
        self._process.wait(PATIENCE_S)
        os.close(self._terminal)

    def _until(self, pattern: bytes) -> bytes:
        shown, end_s = b"", time.monotonic() + PATIENCE_S
        while not re.search(pattern, shown):
            assert time.monotonic() < end_s, shown
            if select.select([self._terminal], [], [], 1)[0]:
                shown += os.read(self._terminal, 4_096)
        return shown


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    folder = tmp_path_factory.mktemp("bash")
    (folder / "bin").mkdir()
    program = folder / "bin/rundlet"
    # What is completed is the real command; what is run prints its arguments.
    program.write_text(
        f"""#!/bin/bash
if [ -n "$_RUNDLET_COMPLETE" ]; then exec {sys.executable} -m rundlet_server.cli.main "$@"; fi
printf 'RAN:'; printf '<%s>' "$@"; echo
"""
    )
    program.chmod(0o755)
    script = run_process(_RUNDLET_COMPLETE="source_bash").text
    (folder / "rc").write_text(f"PS1='{PROMPT.decode()}'\nbind 'set bell-style none'\n{script}\n")
    with served(ModelStore()) as url:
        for key in KEYS:
            Place(("--url", url)).run("set", "--", key, "v")
        environ = {
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "RUNDLET_URL": url,
            "HOME": str(folder),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        shell = Bash(folder, environ)
        yield shell
        shell.end()


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("rundlet get user:42", "<get><user:42:name>"),
        ("rundlet get user:42:", "<get><user:42:name>"),
        ("rundlet get team@h", "<get><team@home/a=b>"),
        ("rundlet get team@home/a=", "<get><team@home/a=b>"),
        ("rundlet get my", "<get><my key>"),
        ("rundlet get my\\ k", "<get><my key>"),
        ("rundlet get 'my k", "<get><my key>"),
        ('rundlet get "user:42', "<get><user:42:name>"),
        ("rundlet get it", "<get><it's;$(here)>"),
        ("rundlet get \\*", "<get><*>"),
        ("rundlet ls --start=user:42", "<ls><--start=user:42:name>"),
        ("rundlet ls --start user:42", "<ls><--start><user:42:name>"),
        ("rundlet --url URL get pl", "<--url><URL><get><plain/1>"),
        ("X=1 rundlet get user:42", "<get><user:42:name>"),
        ("rundlet hist", "<history>"),
    ],
)
def test_bash_completes_what_it_splits(bash, typed, arguments):
    told = bash.completed(typed.replace("URL", bash.url))

    assert told.replace(bash.url, "URL") == arguments


def test_line_of_a_script_from_an_earlier_release_is_completed():
    asked = {"_RUNDLET_COMPLETE": "complete_bash", "COMP_WORDS": "rundlet\nhis", "COMP_CWORD": "1"}

    assert run_process(**asked).text == "history\n"


@pytest.mark.parametrize(
    ("line", "quote"),
    [("a 'b", "'"), ('a "b\\"', '"'), ("a 'b' c", ""), ("a \\'b", ""), ('"\'"', "")],
)
def test_open_quote_is_found(line, quote):
    assert open_quote(line) == quote


@pytest.mark.parametrize("text", [*KEYS, 'a"b', "back\\slash", "`x`", "~", "[a]", "#", "!"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_what_is_escaped_is_one_word_again(text, quote):
    word = f"{quote}{escaped(text, quote)}{quote}"

    printed = subprocess.run(
        ["bash", "-c", f"printf '<%s>' {word}"], capture_output=True, check=True
    )

    assert printed.stdout.decode() == f"<{text}>"
