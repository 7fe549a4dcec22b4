"""Test that the help is complete and short, and has an example for every command."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest
import typer
from typer.core import TyperOption
from typer.main import get_command

from rundlet import DEFAULT_URL
from rundlet_server.cli.arguments import URL_HELP
from rundlet_server.cli.exits import MEANINGS, ExitCode
from rundlet_server.cli.group import loaded
from rundlet_server.cli.main import app
from rundlet_server.cli.overview import DOCUMENTS
from rundlet_server.cli.table import COMMANDS, SUMMARY_CHARACTERS_MAX
from tests.support import ROOT
from tests.support.processes.command_line import run, run_process

ROWS = [pytest.param(row, id=row.name) for row in COMMANDS]


def test_help_fits_one_screen_and_is_grouped():
    ended = run_process("--help", COLUMNS="80")
    lines = ended.text.splitlines()

    assert ended.code == 0
    assert len(lines) <= 23  # and the prompt
    assert max(map(len, lines)) <= 80
    groups = [line.split()[0] for line in lines if line[:1] not in (" ", "")]
    assert groups == ["Usage:", "Data", "Time", "Server", "Care", "Exits", "Docs"]


@pytest.mark.parametrize("columns", [50, 60, 80, 200])
def test_help_names_everything_at_any_width(columns):
    ended = run_process("--help", COLUMNS=str(columns))
    said = " ".join(ended.text.split())

    for row in COMMANDS:
        assert f" {row.name} {row.summary.removesuffix('.')} " in said
    for option in ("--url", "--data", "--token", "--json", "--install-completion"):
        assert f" {option}" in said
    for code, meaning in MEANINGS.items():
        assert f"{code:d} {meaning}" in said
    assert DOCUMENTS in said
    widest = max(map(len, ended.text.splitlines()))
    assert widest <= max(columns, 8 + len(DOCUMENTS))


def test_every_exit_code_has_a_meaning():
    assert list(MEANINGS) == list(ExitCode)


def test_help_names_the_documents_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["urls"]["Documentation"] == DOCUMENTS


def test_help_names_the_default_of_the_client():
    assert DEFAULT_URL in URL_HELP


@pytest.mark.parametrize("row", ROWS)
def test_every_command_has_the_summary_of_the_table_and_an_example(row):
    command = loaded(row.name)
    shown = run(row.name, "--help")

    assert command.name == row.name
    assert command.help.splitlines()[0] == row.summary
    assert row.summary.endswith(".")
    assert len(row.summary) <= SUMMARY_CHARACTERS_MAX
    assert shown.code == 0
    assert f"Example: rundlet {row.name}" in shown.text


def with_subcommands(path, command):
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield [*path, name], below


@pytest.mark.parametrize("row", ROWS)
def test_help_of_every_command_has_one_style(row):
    for path, command in with_subcommands([row.name], loaded(row.name)):
        shown = run_process(*path, "--help", COLUMNS="80").text

        usage = next(line.strip() for line in shown.splitlines() if "Usage: " in line)
        words = usage.removeprefix(f"Usage: rundlet {' '.join(path)} [OPTIONS]").split()
        assert all(re.fullmatch(r"[A-Z=]+(\.\.\.)?", re.sub(r"[][]", "", word)) for word in words)
        assert not re.search(r"<\w|\{|range|x[<>]=|\bstr\b|\bbool\b", shown)
        for option in command.params:
            if isinstance(option, TyperOption) and not option.is_flag:
                word = option.display_type_rich(ctx=typer.Context(command))
                assert re.fullmatch(r"[A-Z]+|[a-z-]+(\|[a-z-]+)+", word), option.opts
        for paragraph in command.help.split("\n\n"):
            assert "\n" not in paragraph  # the terminal breaks the lines


def test_every_command_of_a_module_is_in_the_table():
    for module in {row.module for row in COMMANDS}:
        commands = import_module(f"rundlet_server.cli.{module}").commands
        assert isinstance(commands, typer.Typer)
        found = {*commands.registered_commands, *commands.registered_groups}
        assert {info.name for info in found} == {r.name for r in COMMANDS if r.module == module}


def test_version_is_shown():
    ended = run("--version")

    assert ended.code == 0
    assert ended.text.startswith("rundlet ")


def test_no_command_at_all_shows_the_help():
    ended = run()

    assert ended.code == 2
    assert ended.text.startswith("Usage: ")


def test_name_that_is_no_command_is_answered_with_similar_ones():
    ended = run("gett", "a")

    assert ended.code == 2
    assert ended.err == (
        "rundlet: No such command 'gett'. Did you mean 'get', 'mget'? See rundlet --help\n"
    )


def test_usage_error_names_the_help_of_its_command():
    assert run("token", "add", "--foo").err.endswith("; see rundlet token add --help\n")


def test_group_lists_the_commands_of_the_table():
    group = get_command(app)

    assert group.list_commands(typer.Context(group)) == [row.name for row in COMMANDS]


def test_bash_completes_commands_options_and_values(tmp_path):
    script = run_process(_RUNDLET_COMPLETE="source_bash").text
    assert "complete -o default -F _rundlet_completion rundlet" in script
    (tmp_path / "rundlet").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m rundlet_server.cli.main "$@"\n'
    )
    (tmp_path / "rundlet").chmod(0o755)

    def completed(*words: str) -> list[str]:
        line = " ".join(words)
        asked = f"{script}\nCOMP_LINE='{line}'; COMP_POINT={len(line)}\n"
        asked += f"_rundlet_completion rundlet '{words[-1]}'\n"
        asked += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
        command = ["bash", "--norc", "-c", asked]
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        ended = subprocess.run(command, capture_output=True, check=True, env=environ)
        return ended.stdout.decode().split()

    assert completed("rundlet", "") == [row.name for row in COMMANDS]
    assert completed("rundlet", "m") == ["mv", "mset", "mget"]
    assert "--if-absent" in completed("rundlet", "set", "--if")
    assert completed("rundlet", "bench", "--distribution", "z") == ["zipf"]
    assert completed("rundlet", "token", "a") == ["add"]


@pytest.mark.parametrize(
    ("shell", "environ", "expected"),
    [
        ("zsh", {}, '"mset":"Store many values."'),
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "mset\tStore many values."),
    ],
)
def test_other_shells_complete_commands_with_their_summaries(shell, environ, expected):
    asked = {"_RUNDLET_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "rundlet ms"}

    assert expected in run_process(**asked, **environ).text
    assert "rundlet" in run_process(_RUNDLET_COMPLETE=f"source_{shell}").text


def test_completion_is_installed_for_bash(tmp_path):
    command = f"{sys.executable} -m rundlet_server.cli.main --install-completion; true"
    ended = subprocess.run(
        ["bash", "--norc", "-c", command],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )

    assert b"bash completion installed" in ended.stdout
    assert "source" in (tmp_path / ".bashrc").read_text()
