"""Test what a server says to a person at a terminal once it accepts connections."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rundlet import DEFAULT_URL
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.server.greeting import first_steps
from rundlet_server.server.listen.address import Address
from tests.support.processes.servers import RundletServer

LOCAL = Address("127.0.0.1", 8000)


def steps(
    address: Address = LOCAL, *, has_tokens: bool = False, **settings: bool
) -> dict[str, str]:
    """The first steps by their names."""
    said = first_steps(ServerSettings(**settings), address, has_tokens=has_tokens)
    found = [re.fullmatch(r"  (\w+) +(.+)", line) for line in said.strip("\n").splitlines()]
    return {match[1]: match[2] for match in found if match}


def test_first_steps_are_addresses_and_commands():
    found = steps()

    assert list(found) == ["Dashboard", "API", "Try", "Samples"]
    assert found["Dashboard"] == "http://127.0.0.1:8000/ui/"
    assert found["API"] == "http://127.0.0.1:8000/openapi.json"
    assert found["Samples"].endswith("rundlet demo")


def test_no_dashboard_is_named_if_it_is_turned_off():
    assert "Dashboard" not in steps(no_ui=True)


def test_server_that_takes_no_writes_names_none():
    found = steps(read_only=True)

    assert found["Try"] == "curl 'http://127.0.0.1:8000/v1/keys?limit=5'"
    assert "Samples" not in found


def test_token_is_named_by_its_variable():
    assert '"Authorization: Bearer $RUNDLET_TOKEN"' in steps(has_tokens=True)["Try"]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("0.0.0.0", 8000), DEFAULT_URL),
        (Address("::", 8000), "http://[::1]:8000"),
        (Address("kv.example", 8443, "https"), "https://kv.example:8443"),
    ],
)
def test_addresses_can_be_opened(address: Address, url: str):
    found = steps(address)

    assert found["Dashboard"] == f"{url}/ui/"
    assert found["Samples"].endswith("demo" if url == DEFAULT_URL else f"demo --url {url}")


def test_command_that_is_not_on_the_path_is_named_with_its_place(monkeypatch, tmp_path: Path):
    own = tmp_path / "venv/bin/rundlet"
    own.parent.mkdir(parents=True)
    own.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(own.parent / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert steps()["Samples"] == "venv/bin/rundlet demo"

    monkeypatch.setenv("PATH", str(own.parent))
    assert steps()["Samples"] == "rundlet demo"


def test_first_command_works_as_it_is_shown(tmp_path: Path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rundlet_server", "serve", "--in-memory", "--port", "0"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=theirs, cwd=tmp_path) as server:
        os.close(theirs)
        said = ""
        while "Samples" not in said:
            said += os.read(ours, 65_536).decode()
        tried = re.search(r"Try +(curl .+?)\r?\n", said)
        assert tried is not None, said

        ended = subprocess.run(
            [*shlex.split(tried[1]), "-w", "%{http_code}"], capture_output=True, check=True
        )
        server.terminate()
    os.close(ours)

    assert ended.stdout == b"201"


def test_nothing_more_is_said_into_a_file(tmp_path: Path):
    with RundletServer("--in-memory", stderr_path=tmp_path / "stderr") as server:
        assert len(server.stderr.splitlines()) == 1
