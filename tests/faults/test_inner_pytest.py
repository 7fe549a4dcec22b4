"""Test that only a failed test counts, not whatever else ends a run of tests."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.inner_pytest import BrokenRun, Run, run_tests
from tests.support.processes.servers import is_running, wait_for


def run(folder: Path, source: str, *, test: str = "test_it.py", seconds_max: float = 60.0) -> Run:
    (folder / "test_it.py").write_text(textwrap.dedent(source))
    return run_tests(folder, test, seed=5, seconds_max=seconds_max)


def test_the_first_test_that_fails_is_named(tmp_path):
    source = """
        import pytest

        def test_right(): pass

        class TestThings:
            @pytest.mark.parametrize("word", ["a b"])
            def test_wrong(self, word): assert not word

        def test_not_reached(): assert False
        """
    found = run(tmp_path, source)

    assert found.failed == "test_it.py::TestThings::test_wrong[a b]"
    assert found.passed == 1
    assert found.seconds > 0
    assert run(tmp_path, source, test=found.failed).failed == found.failed


def test_tests_that_pass_are_told(tmp_path):
    assert run(tmp_path, "def test_right(): pass").failed is None


def test_the_seed_is_that_of_all_chance(tmp_path):
    source = """
        import os

        def test_seed(request):
            assert os.environ["RUNDLET_SEED"] == "5"
            assert request.config.getoption("--hypothesis-seed") in (5, "5")
        """
    assert run(tmp_path, source).passed == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import missing_module", "exit code 2"),
        ("def test_it(: pass", "exit code 2"),
        ("", "exit code 5"),
        ("import os\ndef test_it(): os.kill(os.getpid(), 9)", "exit code -9"),
        ("import os\ndef test_it(): os._exit(1)", "exit code 1"),
        (
            "import pytest\n@pytest.fixture\ndef f(): raise OSError\ndef test_it(f): pass",
            "no test failed, but a fixture",
        ),
        ("import pytest\ndef test_it(): pytest.skip('x')", "no test ran"),
    ],
)
def test_a_run_without_an_outcome_is_no_finding(tmp_path, source, reason):
    with pytest.raises(BrokenRun, match=reason):
        run(tmp_path, source)


def test_a_run_that_does_not_end_is_no_finding_and_leaves_no_process(tmp_path):
    source = """
        import pathlib, subprocess, time

        def test_it():
            child = subprocess.Popen(["sleep", "3600"])
            pathlib.Path("child").write_text(str(child.pid))
            time.sleep(3600)
        """
    child = tmp_path / "child"
    for seconds_max in (3.0, 15.0, PATIENCE_S):  # on a busy machine the first may be too short
        with pytest.raises(BrokenRun, match="stopped without an outcome after"):
            run(tmp_path, source, seconds_max=seconds_max)
        if child.exists():
            break

    wait_for(lambda: not is_running(int(child.read_text())))
