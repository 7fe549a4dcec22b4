"""Test the Dockerfiles without a Docker daemon: what they copy, run and start."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rundlet_server.functions.settings.table import SETTINGS, ServeOptions
from rundlet_server.server.granian import server as granian_server
from rundlet_server.server.waitress import server as waitress_server
from tests.support import PATIENCE_S, ROOT
from tests.support.processes.distributions import CLIENT, SERVER, copy_sources
from tests.support.processes.servers import RundletServer
from tests.support.programs import program

DOCKERFILE = ROOT / "deploy/Dockerfile"
DOCKERFILES = [DOCKERFILE, ROOT / "deploy/compose/etcd.Dockerfile"]


def instructions_of(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: name and the rest, on one line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return [
        (name, " ".join(rest.split()))
        for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def last(name: str) -> str:
    return [rest for found, rest in instructions_of(DOCKERFILE) if found == name][-1]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_linter_has_no_objection(path):
    command = [program("hadolint"), "--failure-threshold", "warning", str(path)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_build_stage_makes_both_wheels_of_what_it_copies(tmp_path):
    copy_sources(tmp_path / "src")
    [command] = [
        rest
        for name, rest in instructions_of(DOCKERFILE)
        if name == "RUN" and rest.startswith("python -m pip wheel")
    ]
    words = command.replace("/wheels", str(tmp_path / "wheels")).split()

    subprocess.run(
        [sys.executable, *words[1:]],
        cwd=tmp_path / "src",
        env=os.environ | {"PIP_NO_INDEX": "1"},
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )

    built = {path.name for path in (tmp_path / "wheels").iterdir()}
    assert built == {f"{name}-py3-none-any.whl" for name in (SERVER, CLIENT)}


def test_files_that_it_copies_reach_the_builder():
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = [
        word
        for name, rest in instructions_of(DOCKERFILE)
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    ]

    assert len(copied) > 5
    for name in copied:
        assert (ROOT / name).exists()
        assert name.split("/")[0] not in ignored


def test_container_runs_as_a_user_without_privileges():
    for path in DOCKERFILES:
        users = [rest for name, rest in instructions_of(path) if name == "USER"]
        assert users, path
        assert users[-1].split(":")[0] not in {"root", "0"}


def test_image_is_of_a_python_that_the_project_supports():
    [wanted] = re.findall(r">=3\.(\d+)", tomllib_of("pyproject.toml")["project"]["requires-python"])
    bases = [rest for name, rest in instructions_of(DOCKERFILE) if name == "FROM"]

    assert len(bases) == 2
    for base in bases:
        [minor] = re.findall(r"^python:3\.(\d+)-slim", base)
        assert int(minor) >= int(wanted)


def tomllib_of(name: str) -> dict:
    return tomllib.loads((ROOT / name).read_text())


@pytest.fixture
def container(tmp_path):
    """The server that the container starts, on a port of its own."""
    words = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    assert words[:2] == ["rundlet", "serve"]
    options = [str(tmp_path / "data") if word == "/data" else word for word in words[2:]]
    with RundletServer(*options, stderr_path=tmp_path / "stderr") as server:
        yield server


def health_check(port: str) -> int:
    test = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert test[0] == "python"
    environ = {"PORT": port, "PATH": os.defpath}
    ended = subprocess.run(
        [sys.executable, *test[1:]],
        env=environ,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return ended.returncode


def test_health_check_passes_while_the_server_is_ready(tmp_path, container):
    port = container.url.rpartition(":")[2]

    assert health_check(port) == 0
    (tmp_path / "data").rename(tmp_path / "moved")
    container.client.put("/v1/kv/a", content=b"1")
    assert health_check(port) == 1
    container.stop()
    assert health_check(port) == 1


def test_ports_are_the_default_of_the_settings():
    port = ServeOptions().port
    default = re.findall(r"PORT'\) or (\d+)", last("HEALTHCHECK"))

    assert [int(text) for text in (*default, last("EXPOSE"))] == [port, port]
    for name, pattern in {
        "nginx.conf": r"server 127\.0\.0\.1:(\d+);",
        "haproxy.cfg": r"server one 127\.0\.0\.1:(\d+)",
        "prometheus/prometheus.yml": r'targets: \["127\.0\.0\.1:(\d+)"\]',
        "rundlet.service": r"--port (\d+)",
        "compose/single.yaml": r"127\.0\.0\.1:\d+:(\d+)",
        "compose/cluster.yaml": r"rundlet\d:(\d+)",
        "kubernetes/folder.yaml": r"containerPort: (\d+)",
        "kubernetes/engine.yaml": r"containerPort: (\d+)",
    }.items():
        found = re.findall(pattern, (ROOT / "deploy" / name).read_text())
        assert found, name
        assert {int(text) for text in found} == {port}, name


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("Dockerfile", r"--stop-timeout (\d+)"),
        ("rundlet.service", r"TimeoutStopSec=(\d+)"),
        ("compose/single.yaml", r"stop_grace_period: (\d+)s"),
    ],
)
def test_supervisor_waits_longer_than_the_server_drains(name, pattern):
    drain_s = max(waitress_server._DRAIN_MAX_S, granian_server._DRAIN_MAX_S)

    [waits_s] = re.findall(pattern, (ROOT / "deploy" / name).read_text())

    assert int(waits_s) >= drain_s + 10


def test_image_holds_the_packages_of_every_store_in_the_samples():
    """An extra named like the scheme of a store has what the store needs."""
    extras = tomllib_of("pyproject.toml")["project"]["optional-dependencies"]
    locked = (ROOT / "deploy/requirements.lock").read_text()
    named = {"etcd": "etcd", "postgresql": "postgres"}

    for scheme in re.findall(r"(etcd|postgresql)s?://", all_samples()):
        for requirement in extras.get(named[scheme], []):
            [package] = re.findall(r"^[a-z-]+", requirement)
            assert f"\n{package}==" in f"\n{locked}", f"{package}: scripts/lock pins it"


def test_variables_in_samples_are_settings():
    page = (ROOT / "docs/deployment.md").read_text()
    known = {row.variable for row in SETTINGS} | {"RUNDLET_PORT"}  # which Kubernetes would set

    named = set(re.findall(r"\bRUNDLET_[A-Z_]+", all_samples() + page))

    assert "RUNDLET_STORE" in named
    assert named <= known


def all_samples() -> str:
    paths = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    return "".join(path.read_text() for path in paths if path.suffix not in {".lock", ".pyc"})


def test_commands_in_comments_are_those_of_the_documentation():
    page = (ROOT / "docs/deployment.md").read_text()
    said = re.findall(r"^# (docker .*)", DOCKERFILE.read_text(), re.MULTILINE)

    assert len(said) == 2
    for command in said:
        assert shlex.split(command)[0] == "docker"
        assert command in page
