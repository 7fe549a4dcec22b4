"""What a command loads: nothing that it does not need. Time is not measured, modules are."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served

LOADED = """
import atexit, json, sys
from rundlet_server.cli.start import main
sys.argv = ["rundlet", *json.loads(sys.argv[1])]
report = sys.stderr
atexit.register(lambda: print("LOADED", json.dumps(sorted(sys.modules)), file=report))
main()
"""

HEAVY = {
    *("falcon", "granian", "waitress", "numpy", "rich", "pygments", "pydantic"),
    *("crc32c", "xxhash", "click", "importlib.metadata"),
}
"""What a command that talks to a server over http needs nothing of."""


INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting)
from rundlet_server.cli.start import main
sys.argv = ["rundlet", "get", "k"]
main()
"""


def test_command_that_is_interrupted_while_it_loads_ends_without_a_traceback():
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, check=False, timeout=60
    )

    assert (ended.returncode, ended.stderr) == (130, b"")


def loaded(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends, with their packages."""
    command = [sys.executable, "-c", LOADED, json.dumps(arguments)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    line = ended.stderr.decode().rpartition("LOADED ")[2]
    names = json.loads(line)
    return set(names)


@pytest.fixture(scope="module")
def url():
    with served(ModelStore()) as url:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "rundlet_server.cli.main",
                "mset",
                "k=1",
                "copy=1",
                "a=1",
                "--url",
                url,
            ],
            check=True,
        )
        yield url


@pytest.mark.parametrize(
    "command",
    [
        "get k",
        "set k v --ttl 90s --if-revision 1",
        "set k v",
        "incr n -5",
        "mset a=1 b=2",
        "mget k",
        "ls --limit 5",
        "ls --long --json",
        "ls --tree --match *",
        "exists k",
        "ttl k",
        "touch k never",
        "cp k copy",
        "mv copy moved",
        "del a",
        "stats",
        "export",
        "compact",
    ],
)
def test_command_that_talks_to_a_server_loads_no_engine(url, command):
    if command.startswith("set k v --ttl"):
        subprocess.run(
            [sys.executable, "-m", "rundlet_server.cli.main", "del", "k", "--url", url], check=False
        )
        command = command.replace("--if-revision 1", "--if-absent")

    names = loaded(*command.split(), "--url", url)

    assert "rundlet.client" in names
    assert names & HEAVY == set()
    below = {
        name for name in names if re.match(r"rundlet_server\.(functions|server|storage)\.", name)
    }
    assert below <= {
        "rundlet_server.functions.units",
        "rundlet_server.functions.transfer",
        "rundlet_server.functions.transfer.formats",
        "rundlet_server.storage.bounds",
    }


def test_help_loads_no_command():
    names = loaded("--help")

    assert names & (HEAVY | {"httpx", "rundlet"}) == set()
    rooms = {name.split(".")[2] for name in names if name.startswith("rundlet_server.cli.")}
    assert not rooms & {"commands", "transfer", "doctor", "bench", "serve", "place"}


def test_version_loads_nothing_beyond_the_version():
    names = loaded("--version")

    assert names & (HEAVY | {"typer", "httpx", "pathlib"}) == set()
    assert {name for name in names if name.startswith("rundlet")} == {
        *("rundlet", "rundlet.version"),
        *("rundlet_server", "rundlet_server.cli", "rundlet_server.cli.start"),
    }


@pytest.mark.parametrize("command", ["get --help", "ls --help", "history --help", "verify --help"])
def test_help_of_a_command_loads_neither_client_nor_engine(command):
    names = loaded(*command.split())

    assert names & (HEAVY - {"rich", "pygments"} | {"httpx", "rundlet.client"}) == set()


@pytest.mark.parametrize(
    "command", ["set k v", "get k", "ls --long", "del k", "history k", "stats", "verify"]
)
def test_command_on_a_folder_loads_no_client(command, tmp_path):
    store = ("--data", str(tmp_path))
    subprocess.run(
        [sys.executable, "-m", "rundlet_server.cli.main", "set", "k", "v", *store], check=True
    )

    names = loaded(*command.split(), *store)

    assert names & {"httpx", "rundlet.client", "waitress", "falcon", "typing_extensions"} == set()


def test_completion_of_names_loads_no_command(url):
    environ = {"_RUNDLET_COMPLETE": "complete_bash", "COMP_WORDS": "rundlet ", "COMP_CWORD": "1"}
    command = [sys.executable, "-X", "importtime", "-m", "rundlet_server.cli.main"]

    ended = subprocess.run(command, capture_output=True, check=True, env=environ)

    assert b"export" in ended.stdout
    assert b"cli.commands" not in ended.stderr
    assert b"httpx" not in ended.stderr
