"""Test how often a process reports the same thing."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable

import pytest

from rundlet_server.storage.notices.messages import MessageHandler
from rundlet_server.storage.notices.repeats import AT_ONCE, Repeats


class Later:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, delay_s: float, function: Callable[[], None]) -> None:
        assert delay_s > 0
        self.waiting.append(function)

    def pass_by(self) -> None:
        waiting, self.waiting = self.waiting, []
        for function in waiting:
            function()


@pytest.fixture
def later():
    return Later()


@pytest.fixture
def summaries():
    return []


@pytest.fixture
def repeats(later, summaries):
    return Repeats(lambda last, count: summaries.append((last, count)), later)


def passed(repeats: Repeats, kind: str, count: int) -> int:
    return sum(repeats.passes(kind, f"{kind} {number}") for number in range(count))


def test_the_first_pass_at_once_and_the_rest_is_one_report(repeats, later, summaries):
    assert passed(repeats, "full", 1_000) == AT_ONCE
    assert len(later.waiting) == 1

    later.pass_by()

    assert summaries == [("full 999", 1_000 - AT_ONCE)]


def test_as_long_as_it_goes_on_there_is_one_report_each_time(repeats, later, summaries):
    for _ in range(4):
        passed(repeats, "full", 100)
        later.pass_by()

    assert [count for _, count in summaries] == [100 - AT_ONCE, 100, 100, 100]


def test_its_end_is_reported_once_and_the_next_pass_again(repeats, later, summaries):
    passed(repeats, "full", 100)
    later.pass_by()
    later.pass_by()

    assert summaries[1:] == [("full 99", 0)]
    assert later.waiting == []  # no timer runs for ever
    assert passed(repeats, "full", 1) == 1


def test_what_is_rare_is_reported_each_time_and_never_ends(repeats, later, summaries):
    for _ in range(10):
        assert passed(repeats, "rare", AT_ONCE) == AT_ONCE
        later.pass_by()

    assert summaries == []


def test_kinds_are_counted_apart(repeats, later, summaries):
    passed(repeats, "full", 100)

    assert passed(repeats, "damaged", 1) == 1
    later.pass_by()
    assert [last for last, _ in summaries] == ["full 99"]


def test_reports_go_on_if_no_thread_starts(summaries):
    tries = []

    def fails(*_: object) -> None:
        tries.append(1)
        raise RuntimeError("can't start new thread")

    repeats: Repeats[str] = Repeats(lambda last, count: summaries.append((last, count)), fails)

    assert passed(repeats, "full", 10) == AT_ONCE
    assert len(tries) == 10


def test_a_forked_child_begins_again(repeats, later):
    passed(repeats, "full", 100)
    repeats.after_fork()

    assert passed(repeats, "full", 100) == AT_ONCE
    assert len(later.waiting) == 2


# --- messages -------------------------------------------------------------------------------


@pytest.fixture
def written():
    return io.StringIO()


@pytest.fixture
def logger(later, written):
    logger = logging.Logger("library")
    logger.addHandler(MessageHandler("%(name)s: %(message)s", written, later))
    return logger


def test_a_message_with_what_a_client_has_sent_is_the_same_message(logger, later, written):
    for number in range(1_000):
        logger.error("Exception while serving %s" % f"/path/{number}")  # noqa: UP031 # as waitress does
    assert written.getvalue().splitlines() == [
        f"library: Exception while serving /path/{number}" for number in range(AT_ONCE)
    ]

    later.pass_by()
    later.pass_by()

    assert written.getvalue().splitlines()[AT_ONCE:] == [
        f"library: {1_000 - AT_ONCE} more times in 10 s: Exception while serving /path/999",
        "library: not once more in 10 s: Exception while serving /path/999",
    ]


def test_a_message_that_cannot_be_made_fails_no_request(logger, written, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)

    logger.warning("%d", "no number")

    assert written.getvalue() == ""


def test_errors_of_two_types_are_two_messages(logger, written):
    for error in [ValueError] * 10 + [KeyError] * 10:
        try:
            raise error
        except (ValueError, KeyError):
            logger.warning("failed", exc_info=sys.exc_info())

    lines = written.getvalue().splitlines()
    assert [lines.count("ValueError"), lines.count("KeyError")] == [AT_ONCE, AT_ONCE]
