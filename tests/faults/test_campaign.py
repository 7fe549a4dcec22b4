"""Test the fault campaigns themselves: seeds that replay, time limits, and the summary."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.support import PATIENCE_S, ROOT
from tests.support.campaign import MINUTES_VARIABLE, SEED_VARIABLE, Campaign, summary


def test_the_seed_of_a_round_makes_it_the_first_one(monkeypatch):
    campaign = Campaign("a")
    numbers = [chance.random() for chance in campaign.rounds(3)]
    monkeypatch.setenv(SEED_VARIABLE, str(campaign.seed - 1))
    again = Campaign("a")

    assert [chance.random() for chance in again.rounds(1)] == numbers[2:]


def test_a_campaign_without_a_count_ends_with_its_share_of_the_time(monkeypatch):
    monkeypatch.setenv(MINUTES_VARIABLE, "0.01")
    campaign = Campaign("a", share=6)  # a tenth of a second

    for _ in itertools.islice(campaign.rounds(), 10_000_000):
        pass

    assert campaign.is_over
    assert campaign.round_count > 1


def test_one_round_is_done_however_little_time_there_is(monkeypatch):
    monkeypatch.setenv(MINUTES_VARIABLE, "0")

    assert len(list(Campaign("a").rounds())) == 1


def test_a_long_campaign_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr("tests.support.campaign.PROGRESS_S", 0.0)
    lines: list[str] = []
    monkeypatch.setenv(SEED_VARIABLE, "1")
    monkeypatch.setenv(MINUTES_VARIABLE, "1")
    campaign = Campaign("a", report=lines.append)
    for _ in campaign.rounds(1):
        campaign.count("kills", 2)
        other = threading.Thread(target=campaign.count, args=("kills",))
        other.start()
        other.join(PATIENCE_S)

    assert [line.partition("a: ")[2] for line in lines] == [
        "begins with seed 1, for 60 s",
        "round 1, seed 1, 2 kills",
        "ends after 1 rounds, 3 kills",
    ]


def test_threads_count_together(monkeypatch):
    """Each also looks whether it is time to tell of what all have counted."""
    monkeypatch.setattr("tests.support.campaign.PROGRESS_S", 0.0)
    campaign = Campaign("a")

    def count(thread: int) -> None:
        for number in range(150):
            campaign.count(f"{thread} {number}")
            campaign.count("of all")

    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(4)))
    finally:
        sys.setswitchinterval(before_s)

    assert campaign.faults["of all"] == len(campaign.faults) - 1 == 600


def test_progress_is_printed_while_a_campaign_runs():
    """Although pytest captures what tests print, and the output is no terminal."""
    chosen = ["-k", "test_a_process_may_die_between_any_two_lines_for_long"]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-m", "soak", *chosen, "tests/faults"],
        cwd=ROOT,
        env={**os.environ, MINUTES_VARIABLE: "600", SEED_VARIABLE: "7"},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        try:
            first = next(line for line in running.stdout if line.strip())
            assert running.poll() is None
        finally:
            running.send_signal(signal.SIGINT)  # so that it removes its folder in memory
            running.communicate(timeout=PATIENCE_S)

    assert first.strip() == f"0 s  {chosen[1]}: begins with seed 7, for 36000 s"


def test_the_summary_tells_what_was_tried_and_what_was_found():
    quiet, loud = Campaign("quiet"), Campaign("loud one")
    for _ in quiet.rounds(2):
        quiet.count("crash states", 600)
    for _ in itertools.islice(loud.rounds(2), 1):
        loud.count("errors")
        loud.has_failed = True

    assert summary([quiet.row, loud.row]) == [
        "campaign  rounds  found    faults injected",
        "quiet     2       nothing  1,200 crash states",
        f"loud one  1       seed {loud.seed}   1 errors",
    ]
