"""Test the commands and programs in the pages by running them.

Blocks are marked by their language:

* ``console``: bash runs the lines after ``$ `` against a new server that has loaded
  ``example.data``; each must print the lines that follow it, where ``...`` stands for any text.
  A command continues after a backslash, and while a quote is open;
  curl shows no progress, as on a terminal;
* ``python``: run as a program against the same server;
* ``javascript``: run as a module by ``node``;
* ``sh``: commands that start a server or install something. Each ``rundlet serve`` is started on a
  free port, each ``make`` target must exist; any other command must be listed in ``NOT_RUN``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import PATIENCE_S, ROOT
from tests.support.processes.certificates import PrivateAuthority
from tests.support.processes.servers import RundletServer, ServerProcess

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "client/README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "answers",
            "backup",
            "client",
            "deployment",
            "feed",
            "guide",
            "history",
            "moving",
            "operations",
            "recipes",
            "security",
            "tutorial",
        )
    ),
]
LONG_PAGES = {f"docs/{name}.md" for name in ("guide", "history", "recipes", "tutorial")}
INTERPRETERS = {".sh": ["bash"], ".py": [sys.executable], ".mjs": ["node"], ".go": ["go", "run"]}
EXAMPLES = sorted(
    path.name for path in (ROOT / "docs/examples").iterdir() if path.suffix in INTERPRETERS
)
URL = "http://127.0.0.1:8000"
BEHIND_COMMAND = "--- behind the command ---"

NOT_RUN = {
    "git": "fetches from elsewhere",
    "cd": "is of no use without the line before",
    "pip": "fetches from elsewhere",
    "cp": "is run by test_folder_copied_after_a_stop_is_a_backup",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line, its lines."""

    language: str
    line: int
    lines: list[str]


@dataclass(frozen=True)
class Command:
    """A command of a ``console`` block, and what it is said to print."""

    text: str
    output: str


def blocks_of(page: str) -> list[Block]:
    blocks: list[Block] = []
    is_inside = False
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if not line.startswith("```"):
            if is_inside:
                blocks[-1].lines.append(line)
        elif is_inside:
            is_inside = False
        else:
            is_inside = True
            blocks.append(Block(line[3:], number + 1, []))
    return blocks


def commands_of(block: Block) -> list[Command]:
    commands: list[Command] = []
    lines = iter(block.lines)
    for line in lines:
        if line.startswith("$ "):
            text = line[2:]
            while text.endswith("\\") or text.count("'") % 2:
                text += "\n" + next(lines)
            commands.append(Command(text, ""))
        else:
            last = commands.pop()
            commands.append(Command(last.text, f"{last.output}{line}\n"))
    return commands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "example.data", tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[RundletServer]:
    arguments = (folder / "example.data", "--data", folder / "data")
    arguments += ("--audit", folder / "audit.jsonl")
    with RundletServer(*arguments, stderr_path=folder / "stderr") as server:
        yield server


# Ends a program that never ends by itself so many seconds after its last output, but not before the
# first one: on a busy machine it may take as long to start.
TIMEOUT = f"""#!{sys.executable}
import os, select, subprocess, sys
pause_s = {PATIENCE_S}
with subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE) as program:
    while select.select([program.stdout], [], [], pause_s)[0]:
        if not (shown := os.read(program.stdout.fileno(), 65536)):
            break
        os.write(1, shown)
        pause_s = float(sys.argv[1])
    program.terminate()
"""


def environ(folder: Path, url: str) -> dict[str, str]:
    (folder / ".curlrc").write_text("silent\nshow-error\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNDLET_")}
    (folder / ".bin").mkdir(exist_ok=True)
    (folder / ".bin/timeout").write_text(TIMEOUT)
    (folder / ".bin/timeout").chmod(0o755)
    path = os.pathsep.join([f"{folder}/.bin", f"{Path(sys.executable).parent}", kept["PATH"]])
    given = {"RUNDLET_URL": url, "PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    cache = str(Path.home() / ".cache/go-build")  # go compiles its library once, not for each test
    return {"GOCACHE": cache, **kept, **given}


def run(command: list[str], folder: Path, url: str) -> str:
    """What a command prints, stderr included."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environ(folder, url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=4 * PATIENCE_S,  # some start twenty programs, or compile one
        check=False,
    )
    return ended.stdout.decode().replace("\r\n", "\n").replace(url, URL)


def run_console(block: Block, folder: Path, url: str) -> Iterator[tuple[Command, str]]:
    """Each command of a block with what it printed; one shell, so that variables stay."""
    commands = commands_of(block)
    script = "".join(f"{command.text}\necho; echo '{BEHIND_COMMAND}'\n" for command in commands)
    shown = run(["bash", "-c", script.replace(URL, url)], folder, url)
    outputs = shown.split(f"\n{BEHIND_COMMAND}\n")
    assert len(outputs) == len(commands) + 1, shown
    yield from zip(commands, outputs[:-1], strict=True)


def fits(shown: str, expected: str) -> bool:
    """Whether an output is the expected one; ``...`` there stands for anything."""
    pieces = [re.escape(piece) for piece in expected.strip().split("...")]
    return re.fullmatch(".*?".join(pieces), shown.strip(), re.DOTALL) is not None


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page in LONG_PAGES else page for page in PAGES],
)
def test_every_command_prints_what_the_page_says(page, server, folder):
    for block in blocks_of(page):
        if block.language == "console":
            for command, shown in run_console(block, folder, server.url):
                where = f"{page}:{block.line}: $ {command.text}"
                assert fits(shown, command.output), f"{where}\nprints:\n{shown}"
        elif block.language == "python":
            program = "\n".join(block.lines).replace(URL, server.url)
            shown = run([sys.executable, "-c", program], folder, server.url)
            assert shown == "", f"{page}:{block.line}:\n{shown}"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_javascript_of_the_tutorial_runs(server, folder):
    page = "docs/tutorial.md"
    [block] = [block for block in blocks_of(page) if block.language == "javascript"]
    (folder / "club.mjs").write_text("\n".join(block.lines).replace(URL, server.url))

    shown = run(["node", "club.mjs"], folder, server.url)

    assert shown == "", f"{page}:{block.line}:\n{shown}"


def set_up_commands() -> list[str]:
    lines = [
        line.partition(" #")[0].strip()
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "sh"
        for line in block.lines
    ]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return sorted({part for part in parts if part})


@pytest.mark.parametrize("command", [c for c in set_up_commands() if c.startswith("rundlet serve")])
def test_server_starts_as_the_page_says(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    shutil.copy("example.data", "words.txt")
    if "--tls-cert" in command:
        PrivateAuthority(folder).certificate("kv")
    options = shlex.split(command)[1:]

    with ServerProcess(
        [sys.executable, "-m", "rundlet_server", *options, "--port", "0"],
        stderr_path=folder / "stderr",
    ) as process:
        line = process.wait_for_line("Rundlet ")

    assert "://127.0.0.1:" in line


def test_every_other_set_up_command_is_known():
    makefile = (ROOT / "Makefile").read_text()
    for command in set_up_commands():
        words = shlex.split(command)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
        else:
            assert command.startswith("rundlet serve") or words[0] in NOT_RUN, command


def test_every_block_has_a_language_that_says_whether_it_is_run():
    for page in PAGES:
        for block in blocks_of(page):
            known = {"console", "python", "javascript", "sh", "text", "ini", "promql"}
            assert block.language in known, f"{page}:{block.line}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs(name, server, folder):
    path = ROOT / "docs/examples" / name
    interpreter = INTERPRETERS[path.suffix]
    if shutil.which(interpreter[0]) is None:
        pytest.skip(f"needs {interpreter[0]}")

    shown = run([*interpreter, str(path)], folder, server.url)

    assert shown.rstrip().endswith("done"), shown


def test_folder_copied_after_a_stop_is_a_backup(folder):
    data, copy = folder / "data", folder / "copy"
    with RundletServer("--data", data, stderr_path=folder / "stderr") as server:
        server.client.put("/v1/kv/cask", content=b"full")
        server.stop()

    shutil.copytree(data, copy)

    with RundletServer("--data", copy, stderr_path=folder / "stderr") as server:
        assert server.client.get("/v1/kv/cask").content == b"full"
