"""What do a thousand idle watchers cost, and how soon does an event reach all of them?

The watchers follow the change feed of a prefix. If a server refuses one, the figures are those of
as many as it accepts.
"""

from __future__ import annotations

from statistics import median

import pytest

from bench.costs.feeds import Watchers
from bench.costs.turns import in_turns, pairs
from bench.recorder import Recorder
from bench.systems.running import Servers
from bench.workload import READS
from rundlet import Client

_WATCHERS = 1_000
_EVENTS = 5
_PREFIX = "watched/"
_PAIRS = pairs("watched")


@pytest.mark.parametrize("name", _PAIRS)
def test_watchers(record: Recorder, servers: Servers, name: str) -> None:
    with_it, without = (servers.get(system) for system in _PAIRS[name])

    def ask() -> dict[str, float]:
        url = f"http://127.0.0.1:{with_it.port}"
        with Watchers(with_it.port, _PREFIX) as watchers, Client(url) as client:
            count = watchers.open(_WATCHERS)
            figures = in_turns(
                lambda: with_it.read(READS)["requests/s"],
                lambda: without.read(READS)["requests/s"],
            )
            took_ms = [
                watchers.ms_until_all(b"event: put", lambda: client.set(f"{_PREFIX}key", "new"))
                for _ in range(_EVENTS)
            ]
        return figures | {"watchers": count, "ms to all watchers": median(took_ms)}

    record.figures(ask, system=name)
