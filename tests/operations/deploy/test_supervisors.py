"""Test what starts Rundlet elsewhere: the Procfile, and the workflow of GitHub."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import httpx
import pytest
import yaml

from tests.support import PATIENCE_S, ROOT
from tests.support.configurations import adapted
from tests.support.processes.servers import (
    ServerProcess,
    ask_once,
    children_of,
    free_port,
    wait_for,
)
from tests.support.programs import program

WORKFLOW = ROOT / ".github/workflows/ci.yaml"


def test_procfile_starts_a_server_on_the_port_of_the_platform(tmp_path):
    shutil.copy(ROOT / "example.data", tmp_path)
    # The packages are here already, and make would install them into this repository.
    procfile = adapted(
        (ROOT / "Procfile").read_text(),
        {
            "make -s runtime && ": "",
            ".venv/bin/rundlet serve": f"{sys.executable} -m rundlet_server serve --data data",
        },
    )
    (tmp_path / "Procfile").write_text(procfile)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [program("honcho"), "-d", str(tmp_path), "start", "-p", str(port)]

    with ServerProcess(command, stderr_path=tmp_path / "stderr") as honcho:
        try:
            wait_for(lambda: honcho.process.poll() is not None or is_ready(url))
            assert ask_once("GET", f"{url}/v1/stats").json()["keys"] == 3
        finally:
            started = children_of(honcho.process.pid)
            honcho.process.send_signal(signal.SIGTERM)
            honcho.wait()

    assert started
    wait_for(lambda: not is_ready(url))


def is_ready(url: str) -> bool:
    try:
        return ask_once("GET", f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_workflow_fits_the_schema_of_workflows():
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows"]

    ended = subprocess.run(
        [*command, str(WORKFLOW)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def jobs() -> dict[str, dict]:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]


def test_workflow_runs_files_of_the_repository(jobs):
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    named = [
        path
        for command in commands
        for path in re.findall(r"(?<!\S)((?:\.ci|deploy|scripts)/\S+)", command)
    ]

    assert ".ci/run" in named
    for path in named:
        assert (ROOT / path).is_file(), path
        assert path.endswith(".yaml") or os.access(ROOT / path, os.X_OK), path


def test_workflow_tries_the_oldest_python_and_that_of_the_image(jobs):
    [oldest] = re.findall(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text())
    [deployed, _] = re.findall(r"FROM python:(.*)-slim", (ROOT / "deploy/Dockerfile").read_text())

    assert jobs["test"]["strategy"]["matrix"]["python"] == [oldest, deployed]


def test_workflow_may_write_nothing():
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {"contents": "read"}
