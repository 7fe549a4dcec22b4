"""The requests that wait for a place: in turn, for a bounded time, and not too many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random

import pytest

from rundlet_server.functions.messages.places import MOMENT_S, Places
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.processes.servers import wait_for

THREADS = 32
MOST = THREADS // 4


def full(most: int, patience_s: float = PATIENCE_S) -> Places:
    """Return places that are all taken."""
    places = Places(most, patience_s=patience_s)
    assert all(places.take() for _ in range(most))
    return places


def begin(pool: ThreadPoolExecutor, work: Callable[[], bool], count: int) -> list[Future[bool]]:
    return [pool.submit(work) for _ in range(count)]


def test_a_thread_gets_the_place_that_another_gives_back():
    places = full(2)
    with ThreadPoolExecutor() as pool:
        (waiting,) = begin(pool, places.take, 1)
        time.sleep(4 * MOMENT_S)
        assert not waiting.done()
        places.give_back()

        assert waiting.result(PATIENCE_S)


def test_threads_get_places_in_the_order_they_came():
    places = full(6)
    order: list[int] = []
    has_begun = threading.Semaphore(0)

    def work(number: int) -> None:
        has_begun.release()
        assert places.take()
        order.append(number)
        places.give_back()

    with ThreadPoolExecutor() as pool:
        for number in range(3):
            pool.submit(work, number)
            assert has_begun.acquire(timeout=PATIENCE_S)
            wait_for(lambda number=number: len(places._waiting) == number + 1)
        places.give_back()

    assert order == [0, 1, 2]


def test_no_one_waits_for_longer_than_its_patience():
    places = full(2, patience_s=MOMENT_S)

    assert not places.take()
    places.give_back()
    assert places.take()


def test_half_as_many_as_have_places_wait_for_long():
    patient = MOST // 2
    places = full(MOST)
    with ThreadPoolExecutor(THREADS) as pool:
        begun = begin(pool, places.take, THREADS)
        wait_for(lambda: sum(each.done() for each in begun) == THREADS - patient)
        for _ in range(patient):
            places.give_back()

        assert sum(each.result(PATIENCE_S) for each in begun) == patient


def test_threads_beyond_those_who_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rundlet_server.functions.messages.places.MOMENT_S", PATIENCE_S)
    places = full(MOST)
    waits = MOST // 2 + MOST
    with ThreadPoolExecutor(THREADS) as pool:
        begun = begin(pool, places.take, THREADS)
        wait_for(lambda: sum(each.done() for each in begun) == THREADS - waits)
        for _ in range(waits):
            places.give_back()

        assert sum(each.result(PATIENCE_S) for each in begun) == waits


def test_no_place_is_lost_or_made_while_threads_give_up(campaign: Campaign):
    for chance in campaign.rounds(3):
        places = Places(3, patience_s=0.002)
        used = threading.Semaphore(3)
        with ThreadPoolExecutor(12) as pool:
            seeds = [chance.getrandbits(32) for _ in range(12)]
            for each in [pool.submit(use, places, used, Random(seed)) for seed in seeds]:
                each.result(PATIENCE_S)

        assert [places.take() for _ in range(4)] == [True, True, True, False]


def use(places: Places, used: threading.Semaphore, chance: Random) -> None:
    """Take places and give them back; ``used`` is what may be taken at a time."""
    for _ in range(200):
        if places.take():
            assert used.acquire(blocking=False)
            time.sleep(chance.random() * 0.002)
            used.release()
            places.give_back()
