"""The garbage collector may free a place at any moment, also in a thread that takes one."""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import falcon
import falcon.testing
import pytest

from rundlet_server.functions.feeds.places import FEEDS_CLOSED, FEEDS_REFUSED, FeedPlaces
from rundlet_server.functions.messages import places as places_module
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.messages.streams import send_stream
from rundlet_server.functions.messages.uploads import DecodingTurns
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.waits import IN_THREAD
from rundlet_server.storage.counting.counters import SharedCounters
from tests.support import PATIENCE_S


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Let the collector run only when a test says so."""
    usual = gc.get_threshold()
    gc.disable()
    gc.freeze()  # a collection is short
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)
    gc.enable()


class _Request:
    """A request that ended, which only the collector frees: it refers to itself."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._itself = self
        self._give_back = give_back

    def __del__(self) -> None:
        self._give_back()


def _ends(work: Callable[[], object]) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def _take(places: FeedPlaces, counters: SharedCounters, allocations: int) -> None:
    """Take a place; the collector frees another one after some allocations."""
    gc.collect()
    for name in (FEEDS_CLOSED, FEEDS_REFUSED):
        counters.add(name, 0)
    _Request(places.take().give_back)
    gc.set_threshold(allocations, 1_000, 1_000)
    gc.enable()
    with suppress(Problem):
        places.take()
    gc.disable()


def test_feed_is_refused_or_served_while_the_place_of_another_is_freed():
    counters = SharedCounters()
    for allocations in range(1, 40):
        take = functools.partial(_take, FeedPlaces(1, counters), counters, allocations)

        assert _ends(take), f"the collector ran after {allocations} allocations"


def test_export_is_served_while_the_place_of_another_is_freed(monkeypatch: pytest.MonkeyPatch):
    class CollectedTurn(places_module._Turn):
        def __init__(self) -> None:
            super().__init__()
            gc.collect()

    monkeypatch.setattr(places_module, "_Turn", CollectedTurn)
    places = places_module.Places(1)
    assert places.take()
    _Request(places.give_back)

    assert _ends(places.take)


def test_export_that_the_collector_frees_releases_its_place_and_exits_nothing():
    left: list[str] = []

    class Held:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            left.append("waited for a network")

    def make(stack: ExitStack) -> tuple[Iterator[bytes], bytes]:
        stack.enter_context(Held())
        return iter([b"row"]), b""

    exports = places_module.Places(1)
    gates = Gates(DecodingTurns(), SendingGate(1_000), exports, IN_THREAD)
    req = falcon.Request(falcon.testing.create_environ())
    resp = falcon.Response()
    send_stream(req, resp, gates, make)
    assert not exports._free
    cycle: list[object] = [resp.stream]
    cycle.append(cycle)
    del cycle, resp

    gc.collect()

    assert exports.take()
    assert left == []
