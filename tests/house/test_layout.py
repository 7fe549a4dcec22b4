"""The house: which package may import which, and what nobody may import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

# What each package may import beside itself and the standard library.
ALLOWED = {
    "storage": {"crc32c", "cbor2", "numpy", "xxhash"},
    "functions": {"falcon", "cbor2", "storage"},
    "server": {"waitress", "granian", "functions", "storage"},
    "rundlet": {"httpx", "cbor2"},
    "cli": {"typer", "rich", "numpy", "server", "functions", "storage", "rundlet"},
}
FORBIDDEN = {"pickle", "shelve", "marshal"}
MODULES = [
    pytest.param(package, path, id=str(path.relative_to(ROOT)))
    for package in ALLOWED
    for path in sorted((ROOT / package).rglob("*.py"))
]


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize(("package", "path"), MODULES)
def test_imports_point_down(package, path):
    allowed = ALLOWED[package] | {package} | (sys.stdlib_module_names - FORBIDDEN)

    assert {module.partition(".")[0] for module in imports_of(path)} <= allowed


def test_only_the_backends_see_the_engine():
    for package in ("functions", "server", "cli"):
        for path in (ROOT / package).rglob("*.py"):
            deep = [module for module in imports_of(path) if module.startswith("storage.log")]
            assert deep == [], path


@pytest.mark.parametrize(("package", "path"), MODULES)
def test_modules_stay_short_enough_to_read(package, path):
    assert len(path.read_text().splitlines()) <= 400


def test_every_package_is_listed_where_packages_are_listed():
    pyproject = (ROOT / "pyproject.toml").read_text()

    for package in ALLOWED:
        assert f'"{package}"' in pyproject


LOCK_FILES = ["requirements.lock", "deploy/requirements.lock", "bench/requirements.lock"]


@pytest.mark.parametrize("name", LOCK_FILES)
def test_lock_file_names_no_index_and_no_machine(name):
    lock = (ROOT / name).read_text()

    assert "://" not in lock
    assert "index-url" not in lock
    assert "find-links" not in lock


@pytest.mark.parametrize("name", LOCK_FILES)
def test_lock_file_pins_everything_with_hashes(name):
    assert all("--hash=sha256:" in pin for pin in pins_of(name))


def test_what_is_deployed_is_what_was_tested():
    assert set(pins_of("deploy/requirements.lock")) <= set(pins_of("requirements.lock"))


def pins_of(name: str) -> list[str]:
    """The lines ``name==version --hash=...`` of a lock file."""
    lines = (ROOT / name).read_text().replace("\\\n", "").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
