"""Both distributions, built and installed beside packages that could get in their way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from rundlet.version import __version__ as version
from tests.support import PATIENCE_S, ROOT
from tests.support.processes.distributions import CLIENT, SERVER, Built, build
from tests.support.processes.environments import HOSTILE, TRAP, Environment
from tests.support.processes.servers import (
    ServerProcess,
    ask_once,
    private_folder_of,
    wait_for,
    worker_pids,
)

# --- what is built -------------------------------------------------------------------------


def test_each_distribution_installs_one_name(built):
    server, client = built

    assert {name.split("/")[0] for name in server.names()} == {
        "rundlet_server",
        f"{SERVER}.data",
        f"{SERVER}.dist-info",
    }
    assert {name.split("/")[0] for name in client.names()} == {"rundlet", f"{CLIENT}.dist-info"}


@pytest.mark.parametrize(("which", "package"), [(0, "rundlet_server"), (1, "rundlet")])
def test_wheel_holds_every_module_and_no_more(built, which, package):
    expected = {
        f"{Path(folder).relative_to(ROOT)}/{name}"
        for folder, _, names in os.walk(ROOT / package, followlinks=True)
        for name in names
        if not name.endswith(".pyc")
    }

    beside = (".dist-info/", ".data/")
    found = {name for name in built[which].names() if not any(part in name for part in beside)}

    assert found == expected
    assert f"{package}/py.typed" in found


@pytest.mark.parametrize("which", [0, 1], ids=["server", "client"])
def test_wheel_from_the_source_archive_is_the_same(built, which, tmp_path):
    with tarfile.open(built[which].source) as archive:
        assert all(member.isfile() for member in archive)
        archive.extractall(tmp_path, filter="data")

    build(tmp_path / built[which].name, tmp_path, "wheel")

    assert (tmp_path / built[which].wheel.name).read_bytes() == built[which].wheel.read_bytes()


@pytest.mark.parametrize("which", [0, 1], ids=["server", "client"])
def test_metadata_tells_licence_authors_and_addresses(built, which):
    found = built[which].metadata()
    addresses = dict(line.split(", ") for line in found.get_all("Project-URL"))

    assert found["Version"] == version
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Author"] == "The Rundlet developers"
    assert found["Keywords"]
    assert "Typing :: Typed" in found.get_all("Classifier")
    assert addresses.keys() == {"Homepage", "Documentation", "Repository", "Changelog"}
    with zipfile.ZipFile(built[which].wheel) as archive:
        licence = archive.read(f"{built[which].name}.dist-info/licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_client_requires_two_packages_and_the_server_this_client(built):
    server, client = built

    assert [re.split("[<>=]", line)[0] for line in client.requirements()] == ["cbor2", "httpx"]
    assert f"rundlet-client=={version}" in server.requirements()


def test_other_packages_find_the_adapters_of_the_client(built):
    _, client = built

    with zipfile.ZipFile(client.wheel) as archive:
        points = archive.read(f"{client.name}.dist-info/entry_points.txt").decode()
    assert "rundlet = rundlet.adapters.fsspec:RundletFileSystem" in points
    assert "rundlet = rundlet.adapters.dogpile:RundletBackend" in points
    assert client.requirements("zarr")


def test_both_are_built_by_the_same_backend():
    pyprojects = [ROOT / "pyproject.toml", ROOT / "client/pyproject.toml"]
    server, client = (tomllib.loads(path.read_text()) for path in pyprojects)

    assert server["build-system"] == client["build-system"]
    assert server["project"]["requires-python"] == client["project"]["requires-python"]


def knows_offline_units() -> bool:
    """Whether systemd's tools are here and can judge a unit that is not installed."""
    if not shutil.which("systemd-analyze"):
        return False
    described = subprocess.run(["systemd-analyze", "--help"], capture_output=True, check=False)
    return b"--offline" in described.stdout


# --- how a checkout and a machine are set up -----------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("serve", ["scripts/set-up runtime"]),
        ("lint", ["scripts/set-up runtime", "scripts/set-up developer"]),
    ],
)
def test_make_installs_what_a_target_needs(target, expected):
    dry_run = ["make", "--dry-run", "--what-if", "deploy/requirements.lock", target]

    planned = subprocess.run(dry_run, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert [line for line in planned.splitlines() if "set-up" in line] == expected


@pytest.mark.skipif(not knows_offline_units(), reason="needs systemd-analyze 250 or newer")
def test_systemd_unit_exposes_little():
    unit = ROOT / "deploy/rundlet.service"
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


# --- the client alone ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def client_environment(
    built: tuple[Built, Built], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    _, client = built
    folder = tmp_path_factory.mktemp("client-environment")
    return Environment(folder, [client.wheel], client.requirements())


@pytest.mark.usefixtures("hostile")
def test_client_works_with_what_it_requires(client_environment):
    program = """
from rundlet import Client, ConnectionFailed
try:
    Client("http://127.0.0.1:1", retries=0).get("greeting")
except ConnectionFailed:
    print("imported")
"""
    ended = client_environment.run("python", "-P", "-c", program)

    assert (ended.stdout, ended.stderr) == ("imported\n", "")


def test_client_says_where_the_command_comes_from(client_environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    ended = client_environment.run("python", "-m", "rundlet", "--version")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"rundlet: .* pip install rundlet\n", ended.stderr)


# --- the server beside others --------------------------------------------------------------


@dataclass(frozen=True)
class Serving:
    """A server of the clean environment, and commands that are sent to it."""

    environment: Environment
    process: ServerProcess
    url: str

    def command(self, *arguments: str) -> str:
        """Run ``rundlet`` on this server; gives what it prints."""
        ended = self.environment.run("rundlet", *arguments, "--url", self.url)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout


@pytest.fixture
def serve(server_environment, hostile, tmp_path):
    running = []

    def start(*options: str | Path) -> Serving:
        command = [server_environment.bin / "rundlet", "serve", "--port", "0", *options]
        process = ServerProcess([str(word) for word in command], stderr_path=tmp_path / "stderr")
        running.append(process)
        url = process.wait_for_line("Rundlet ").split(" on ")[1].split(" ")[0]
        return Serving(server_environment, process, url)

    yield start
    for process in running:
        with process:
            pass


def test_installed_server_has_its_dashboard(serve, tmp_path):
    serving = serve("--data", tmp_path / "data")
    page = ask_once("GET", f"{serving.url}/ui/")
    files = re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)

    answers = [ask_once("GET", f"{serving.url}/ui/{name}") for name in files]

    assert len(answers) > 10
    assert {answer.status_code for answer in (page, *answers)} == {200}


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        pytest.param(["--server", "waitress"], 0, id="waitress"),
        pytest.param(["--server", "granian", "--workers", "2"], 2, id="granian"),
    ],
)
def test_server_disturbs_no_neighbour_and_is_not_disturbed(serve, options, workers, tmp_path):
    serving = serve("--data", tmp_path / "data", *options)

    assert ask_once("PUT", f"{serving.url}/v1/kv/greeting", content=b"hello").status_code == 201
    serving.command("set", "greeting", "good morning")
    assert ask_once("POST", f"{serving.url}/v1/admin/compact").status_code == 202

    assert serving.command("get", "greeting") == "good morning"
    assert len(worker_pids(serving.process.process.pid)) == workers
    wait_for(lambda: "rundlet.maintenance: compacted" in serving.process.stderr)
    assert serving.process.stop() == 0
    assert "trapped" not in serving.process.stderr
    assert "starting it again" not in serving.process.stderr


def test_private_folder_goes_with_its_server(serve):
    serving = serve("--in-memory")
    folder = private_folder_of(serving.process.process.pid)

    serving.process.process.kill()

    wait_for(lambda: not folder.exists())
    assert "trapped" not in serving.process.stderr


def test_man_finds_the_page_of_the_command(server_environment):
    page = server_environment.bin.parent / "share/man/man1/rundlet.1"

    assert page.read_bytes() == (ROOT / "docs/rundlet.1").read_bytes()
    if shutil.which("man") is None:
        pytest.skip("needs man")
    places = {"PATH": f"{server_environment.bin}:{os.environ['PATH']}"}
    found = subprocess.run(
        ["man", "-w", "rundlet"], env=places, capture_output=True, text=True, check=True
    )
    assert found.stdout == f"{page}\n"


@pytest.mark.parametrize("package", ["rundlet", "rundlet_server"])
def test_package_is_the_command(server_environment, package, tmp_path, monkeypatch):
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)

    ended = server_environment.run("python", "-m", package, "--version")

    assert (ended.stdout, ended.stderr) == (f"rundlet {version}\n", "")
