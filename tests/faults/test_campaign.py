"""Test the fault campaigns themselves: seeds that replay, time limits, and the summary."""

from __future__ import annotations

import itertools

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


def test_the_summary_tells_what_was_tried_and_what_was_found():
    quiet, loud = Campaign("quiet"), Campaign("loud one")
    for _ in quiet.rounds(2):
        quiet.count("crash states", 600)
    for _ in itertools.islice(loud.rounds(2), 1):
        loud.count("errors")
        loud.has_failed = True

    assert summary([quiet, loud]) == [
        "campaign  rounds  found    faults injected",
        "quiet     2       nothing  1,200 crash states",
        f"loud one  1       seed {loud.seed}   1 errors",
    ]
