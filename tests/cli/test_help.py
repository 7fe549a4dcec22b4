"""Test that the help is complete and short, and has an example for every command."""

from __future__ import annotations

import pytest
from typer.main import get_command

from rundlet_server.cli.main import app
from tests.support.processes.command_line import run

COMMANDS = sorted(get_command(app).commands)


def test_the_help_fits_one_screen_and_is_grouped():
    ended = run("--help")

    assert ended.code == 0
    assert len(ended.text.splitlines()) <= 40
    positions = [ended.text.index(f"─ {group} ─") for group in ("Data", "Server", "Care")]
    assert positions == sorted(positions)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_one_line_of_help_and_an_example(name):
    command = get_command(app).commands[name]

    first = command.help.splitlines()[0]
    shown = run(name, "--help")

    assert first.endswith(".")
    assert len(first) <= 64
    assert shown.code == 0
    assert f"Example: rundlet {name}" in shown.text


def test_the_version_is_shown():
    ended = run("--version")

    assert ended.code == 0
    assert ended.text.startswith("rundlet ")


def test_no_command_at_all_shows_the_help():
    assert "Usage: " in run().text


def test_every_command_belongs_to_a_group():
    for name in COMMANDS:
        command = get_command(app).commands[name]
        assert command.rich_help_panel in {"Data", "Time", "Server", "Care"}, name
