"""Test that the tests find the bugs planted in the durability code (see ``mutants``)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.mutants import EQUIVALENT, MUTANTS, Mutant
from tests.support import ROOT
from tests.support.campaign import Campaign
from tests.support.disks.sample_stores import folder_in_memory

SOURCES = ("cli", "functions", "rundlet", "rundlet_server", "server", "storage", "tests")
SECONDS_MAX = 240.0
"""A mutant may also make the tests hang; that is found, too."""
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
SHORT = (
    "commit-not-synced",
    "manifest-not-synced",
    "abandoned-segment-is-synced-again-in-the-background",
)


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """The sources once more, where they may be changed."""
    with folder_in_memory() as folder:
        for name in SOURCES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        yield folder


def is_found(copy: Path, mutant: Mutant) -> bool:
    """Whether one of its tests fails."""
    path = copy / mutant.path
    original = path.read_text()
    path.write_text(original.replace(mutant.old, mutant.new))
    try:
        return any(fails(copy, test) for test in mutant.tests)
    finally:
        path.write_text(original)


def fails(copy: Path, test: str) -> bool:
    """Whether a test file fails on the copy, or does not end."""
    options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=line", test]
    try:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return result.returncode == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_stands_there_once(mutant: Mutant):
    assert (ROOT / mutant.path).read_text().count(mutant.old) == 1
    assert mutant.old != mutant.new


def test_names_of_mutants_are_their_own():
    assert len(BY_NAME) == len(MUTANTS)
    assert not EQUIVALENT.keys() & BY_NAME.keys()


@pytest.mark.parametrize("name", SHORT)
def test_a_mutant_is_found(copy: Path, name: str):
    assert is_found(copy, BY_NAME[name])


@pytest.mark.soak
def test_every_mutant_is_found(copy: Path, campaign: Campaign):
    """As many as fit into the time, begun at another one with each seed."""
    survivors = []
    for chance in campaign.rounds(1):
        for mutant in chance.sample(MUTANTS, len(MUTANTS)):
            if not is_found(copy, mutant):
                survivors.append(mutant.name)
            campaign.count("mutants")
            if campaign.is_over:
                break

    assert survivors == []
