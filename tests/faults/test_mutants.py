"""Test that the tests find planted bugs (see ``mutants`` and ``mutants_around_the_log``).

A bug is found if a test fails on a copy of the source that contains it, and passes on one that does
not. A run that hangs, does not start or is killed is no finding: it fails the harness.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.planted.around_the_log import MUTANTS_AROUND_THE_LOG
from tests.faults.planted.in_erasures import MUTANTS_OF_ERASURES
from tests.faults.planted.in_metadata import MUTANTS_OF_METADATA
from tests.faults.planted.in_puts import MUTANTS_OF_PUTS
from tests.faults.planted.in_reads import MUTANTS_OF_READS
from tests.faults.planted.in_retries import MUTANTS_OF_RETRIES
from tests.faults.planted.in_the_log import EQUIVALENT, MUTANTS, Mutant
from tests.support import ROOT
from tests.support.campaign import SEED_DEFAULT, SEED_VARIABLE, Campaign
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.processes.inner_pytest import Run, copy_sources, run_tests

SECONDS_MAX = 600.0
"""Of one file of tests. The slowest takes a minute on a busy machine."""
ALL = (
    *(MUTANTS + MUTANTS_AROUND_THE_LOG + MUTANTS_OF_ERASURES),
    *(MUTANTS_OF_METADATA + MUTANTS_OF_RETRIES + MUTANTS_OF_PUTS + MUTANTS_OF_READS),
)
BY_NAME = {mutant.name: mutant for mutant in ALL}
SHORT = (
    "commit-not-synced",
    "durable-before-published",
    "abandoned-segment-is-synced-again-in-the-background",
)
SEED = int(os.environ.get(SEED_VARIABLE, SEED_DEFAULT))
SHUFFLED = random.Random(SEED).sample(ALL, len(ALL))
"""So that a campaign without time for all of them tries other ones with another seed."""


class Planter:
    """Copies the sources, plants a bug and runs the tests that are likely to find it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        copy_sources(folder)
        self._passes = functools.cache(self._passes_without_bug)

    def found_by(self, mutant: Mutant, *, seed: int) -> Run | None:
        """Return the run with the first test that fails because of the bug, or ``None``."""
        with self._planted(mutant):
            runs = (self._run(test, seed) for test in mutant.tests)
            found = next((run for run in runs if run.failed), None)
        assert found is None or self._passes(found.failed, seed), f"{found} fails without the bug"
        return found

    @contextlib.contextmanager
    def _planted(self, mutant: Mutant) -> Iterator[None]:
        path = self._folder / mutant.path
        original = path.read_text()
        path.write_text(original.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            path.write_text(original)

    def _passes_without_bug(self, test: str, seed: int) -> bool:
        return self._run(test, seed).failed is None

    def _run(self, test: str, seed: int) -> Run:
        return run_tests(self._folder, test, seed=seed, seconds_max=SECONDS_MAX)


@pytest.fixture(scope="module")
def planter() -> Iterator[Planter]:
    with folder_in_memory() as folder:
        yield Planter(folder)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_stands_there_once(mutant: Mutant):
    source = (ROOT / mutant.path).read_text()
    assert source.count(mutant.old) == 1
    assert mutant.old != mutant.new
    compile(source.replace(mutant.old, mutant.new), mutant.path, "exec")


def test_names_of_mutants_are_their_own():
    assert len(BY_NAME) == len(ALL)
    assert not EQUIVALENT.keys() & BY_NAME.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_a_planted_bug_is_found(planter: Planter, name: str):
    assert planter.found_by(BY_NAME[name], seed=SEED)


@pytest.mark.soak(campaign="planted bugs")
@pytest.mark.parametrize("mutant", SHUFFLED, ids=lambda mutant: mutant.name)
def test_every_planted_bug_is_found(planter: Planter, campaign: Campaign, mutant: Mutant):
    """As many as fit into the time, and at least one."""
    if campaign.is_over and campaign.round_count:
        pytest.skip("the time of the campaign is over")
    campaign.round_count += 1
    run = planter.found_by(mutant, seed=campaign.seed)
    found = f"found by {run.failed} in {run.seconds:.1f} s" if run else "NOT FOUND"
    campaign.tell(f"{campaign.round_count} of {len(ALL)}, {mutant.name}: {found}")
    campaign.count("planted bugs found" if run else "planted bugs not found")
    assert run
