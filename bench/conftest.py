"""Fixtures and the order of a run: systems take turns, and systems that cannot run are skipped."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.engine.killed import GrownStores
from bench.engine.loaded import LoadedEngines
from bench.errors import NotMeasurable
from bench.places import MISSING_NAME, REPORT
from bench.recorder import Recorder
from bench.scale import Scale, chosen_scale
from bench.systems.running import Servers

SCALE: Final = chosen_scale()
_WORK: Final = REPORT / "work"
_BASIC: Final = ("bench_get", "bench_put")
_FOLDERS: Final = ("http", "engine", "cli", "costs", "backends")


@pytest.fixture
def record(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, repeat: int) -> Recorder:
    """Return a recorder; the name of the file is the question."""
    path = request.path
    question = f"{path.parent.name}/{path.stem.removeprefix('bench_')}"
    return Recorder(benchmark, question, repeat)


@pytest.fixture(scope="session")
def scale() -> Scale:
    """Return the sizes of this run."""
    return SCALE


@pytest.fixture(scope="module")
def work_folder() -> Iterator[Path]:
    """Make a folder on the disk of this checkout, for one question."""
    _WORK.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=_WORK))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder(work_folder: Path) -> Iterator[Path]:
    """Make a folder for one measurement."""
    path = Path(tempfile.mkdtemp(dir=work_folder))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def loaded(work_folder: Path) -> Iterator[LoadedEngines]:
    """Offer engines that hold the usual number of keys."""
    with LoadedEngines(work_folder, SCALE.engine_keys) as engines:
        yield engines


@pytest.fixture(scope="session")
def grown() -> Iterator[GrownStores]:
    """Offer stores by number of keys, shared by all questions about that number."""
    _WORK.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=_WORK))
    yield GrownStores(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def servers(work_folder: Path) -> Iterator[Servers]:
    """Offer servers; each starts when it is first needed and ends with the question."""
    with Servers(work_folder, SCALE) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat every question as often as the scale says, or as ``REPEATS_MAX`` of its file."""
    if "repeat" in metafunc.fixturenames:
        most: int = getattr(metafunc.module, "REPEATS_MAX", SCALE.repeats)
        metafunc.parametrize("repeat", range(min(most, SCALE.repeats)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort so that within a file every system has a turn before the first has its second."""
    items.sort(key=lambda item: (*_place_of(item), _repeat_of(item)))


def _place_of(item: pytest.Item) -> tuple[bool, bool, int, str]:
    """Order files by importance, in case the time runs out; files without a target come last."""
    module = item.getparent(pytest.Module)
    is_extra = module is not None and hasattr(module.obj, "REPEATS_MAX")
    is_basic = item.path.stem in _BASIC
    return is_extra, not is_basic, _FOLDERS.index(item.path.parent.name), item.path.name


def _repeat_of(item: pytest.Item) -> int:
    repeat: int = item.callspec.params.get("repeat", 0) if hasattr(item, "callspec") else 0
    return repeat


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Skip a system that cannot be measured, and name the reason."""
    try:
        return (yield)
    except NotMeasurable as ex:
        pytest.skip(str(ex))


def pytest_configure(config: pytest.Config) -> None:
    """Watch the time that the run takes and what it skips."""
    config.pluginmanager.register(_RunWatch(time.monotonic()))


class _RunWatch:
    """Ends the run in time, and lists for the report what was skipped or failed, and why."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._missing: list[dict[str, str]] = []

    def pytest_runtest_setup(self) -> None:
        """Skip a question if the time of the run is up."""
        if time.monotonic() - self._began_s > SCALE.run_s_max:
            pytest.skip(f"not started within {SCALE.run_s_max:.0f} s")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record what was skipped or failed."""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self._missing.append({"what": report.nodeid, "kind": "skipped", "reason": reason})
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = crash.message.splitlines()[0] if crash else report.longreprtext[-200:]
            self._missing.append({"what": report.nodeid, "kind": "failed", "reason": reason})

    def pytest_sessionfinish(self) -> None:
        """Write what was skipped or failed beside the results."""
        REPORT.mkdir(parents=True, exist_ok=True)
        (REPORT / MISSING_NAME).write_text(json.dumps(self._missing, indent=1))
        shutil.rmtree(_WORK, ignore_errors=True)
