"""Test that the client's types help in a project that uses it, with mypy and pyright."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

PROGRAM = ROOT / "tests/client/typed_program.py"
WRONG = """\
from rundlet import AsyncClient, Client


def use(client: Client, other: AsyncClient) -> None:
    client.get("k").data
    client.set("k", 7)
    client.mapping(codec="pickle")
    client.mapping("t/")["k"] = 7
    len(other.get("k"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project of a user: it has the package, and none of our settings."""
    shutil.copytree(
        ROOT / "rundlet", tmp_path / "site/rundlet", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(PROGRAM, tmp_path / "program.py")
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "extraPaths": ["site"], "include": ["."]})
    )
    return tmp_path


def mypy(project: Path, name: str) -> list[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", name]
    environment = os.environ | {"MYPYPATH": str(project / "site")}
    ended = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert not ended.stderr
    return [line for line in ended.stdout.splitlines() if ": error:" in line]


def test_mypy_knows_what_each_call_returns(project: Path):
    assert mypy(project, "program.py") == []


def test_mypy_sees_what_is_wrong(project: Path):
    lines = {int(line.split(":")[1]) for line in mypy(project, "wrong.py")}

    assert lines == {5, 6, 7, 8, 9}


def pyright(project: Path, name: str) -> list[dict[str, object]]:
    pytest.importorskip("basedpyright")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    ended = subprocess.run(
        [*command, name], cwd=project, capture_output=True, text=True, check=False
    )
    found = json.loads(ended.stdout)["generalDiagnostics"]
    return [one for one in found if one["severity"] == "error"]


def test_pyright_knows_what_each_call_returns(project: Path):
    assert pyright(project, "program.py") == []


def test_pyright_sees_what_is_wrong(project: Path):
    lines = {one["range"]["start"]["line"] + 1 for one in pyright(project, "wrong.py")}

    assert lines >= {5, 6, 7, 8, 9}
