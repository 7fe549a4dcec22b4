"""Test the backend, by Django's tests for every cache."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.suites import suite_of
from tests.support import PATIENCE_S, ROOT

pytest.importorskip("django")


def test_django_finds_every_cache_test_passed(address: str):
    program = Path(__file__).with_name("django_program.py")
    command = [sys.executable, program, suite_of("django") / "tests", address]

    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False
    )

    assert ended.returncode == 0, ended.stderr[-4_000:]
    assert int(re.search(r"Ran (\d+) tests", ended.stderr)[1]) > 50
    assert "OK (skipped=3)" in ended.stderr  # two of culling, and one of drivers for databases
