"""What do large transactions, checkpoints and compaction do to the latency of reads?

Reads come at a steady rate. ``transactions`` are 70 of 1,000 puts each, one after the other, with
the checkpoint that they make due; ``checkpoint`` is one that a few small transactions make due.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from bench.errors import LoadFailed
from bench.http import load
from bench.http.servers import Server, Servers
from bench.http.system import System
from bench.http.systems import FORGETFUL
from bench.recorder import Recorder
from bench.workload import READS, key_of, value_of
from rundlet import Client, Put, RundletError

_RATE_PER_S = 1_000
_TXN_KEYS = 1_000
_SMALL_TXN_KEYS = 10
_LAST_KEYS = 1_000
_SEGMENT_KEYS = 70_000
_SEGMENT_RECORDS = 65_536  # with which the server seals a segment
_NEW_KEYS = 1 << 40
_WORK_S_MAX = 30.0
_POLL_S = 0.02


def _idle(server: Server, client: Client) -> None:
    """Nothing; but the server is asked for its figures as in the other cases, which takes time."""
    ended_s = time.monotonic() + server.scale.load_s
    _wait(lambda: _gauge(client, "log_bytes") >= 0 and time.monotonic() >= ended_s)


def _nothing_before(_client: Client) -> None:
    """It needs none."""


def _fill_most_of_a_segment(client: Client) -> None:
    """So that few writes are missing until the server seals it, and nothing else is to do."""
    _wait(lambda: _gauge(client, "unindexed_records") < _SEGMENT_RECORDS)
    there = int(_gauge(client, "unindexed_records"))
    missing = (_SEGMENT_RECORDS - there - _LAST_KEYS // 2) % _SEGMENT_RECORDS
    _put(client, missing, each=_TXN_KEYS)
    _wait(lambda: _gauge(client, "unindexed_records") < _SEGMENT_RECORDS)


def _checkpoint(_server: Server, client: Client) -> None:
    _put(client, _LAST_KEYS, each=_SMALL_TXN_KEYS)
    # More than fit into one segment are there only while a sealed one waits for its index file.
    _wait(lambda: _gauge(client, "unindexed_records") < _LAST_KEYS)


def _transactions(_server: Server, client: Client) -> None:
    _put(client, _SEGMENT_KEYS, each=_TXN_KEYS)
    _wait(lambda: _gauge(client, "unindexed_records") < _SEGMENT_RECORDS)


def _fill_a_segment_with_what_is_dead(client: Client) -> None:
    _put(client, _SEGMENT_KEYS, each=_TXN_KEYS)
    _put(client, _SEGMENT_KEYS, each=_TXN_KEYS)


def _compact(_server: Server, client: Client) -> None:
    before = _gauge(client, "log_bytes")
    client.compact()
    _wait(lambda: _gauge(client, "log_bytes") < before)


class _Case(NamedTuple):
    """What is done before, and what is done while latencies are measured."""

    prepare: Callable[[Client], None]
    job: Callable[[Server, Client], None]


_CASES = {
    "idle": _Case(_nothing_before, _idle),
    "transactions": _Case(_nothing_before, _transactions),
    "checkpoint": _Case(_fill_most_of_a_segment, _checkpoint),
    "compaction": _Case(_fill_a_segment_with_what_is_dead, _compact),
}


@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize("system", FORGETFUL, ids=lambda system: system.name)
def test_maintenance(record: Recorder, servers: Servers, system: System, case: str) -> None:
    server = servers.get(system)
    with Client(f"http://127.0.0.1:{server.port}") as client:
        prepare, job = _CASES[case]

        def ask() -> dict[str, float]:
            prepare(client)
            return _latencies_ms(server, lambda: job(server, client))

        record.figures(ask, system=system.name, case=case)


def _latencies_ms(server: Server, work: Callable[[], None]) -> dict[str, float]:
    """Latencies of the reads that began while the work was done."""
    plan = server.plan(server.script(READS), rate_per_s=_RATE_PER_S, load_s=_WORK_S_MAX)
    span = _Span(work, begin_after_s=plan.warm_up_s)
    outcome = load.run(plan, until=span.has_ended)
    between_s = span.between_s()
    latencies = outcome.samples["get"].percentiles_ms(between_s)
    named = {f"{name} ms": value for name, value in latencies.items()}
    return named | {"took s": between_s[1] - between_s[0]}


class _Span:
    """Work in a thread, and from when to when it was done."""

    def __init__(self, work: Callable[[], None], *, begin_after_s: float) -> None:
        self._work = work
        self._began_s = time.monotonic() + begin_after_s
        self._ended_s = self._began_s
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def has_ended(self) -> bool:
        """Whether the work is done."""
        return not self._thread.is_alive()

    def between_s(self) -> tuple[float, float]:
        """Begin and end on the monotonic clock.

        Raises:
            LoadFailed: the work was not done.
        """
        self._thread.join()
        if self._error is not None:
            raise LoadFailed(str(self._error)) from self._error
        return self._began_s, self._ended_s

    def _run(self) -> None:
        time.sleep(max(0.0, self._began_s - time.monotonic()))
        try:
            self._work()
        except (RundletError, LoadFailed) as ex:
            self._error = ex  # for the thread that asks for the figures
        self._ended_s = time.monotonic()


def _put(client: Client, count: int, *, each: int) -> None:
    """Put so many values, some in each transaction; under the same keys every time."""
    numbers = range(_NEW_KEYS, _NEW_KEYS + count)
    for start in range(0, count, each):
        client.txn([Put(key_of(number), value_of(number)) for number in numbers[start:][:each]])


def _gauge(client: Client, name: str) -> float:
    gauges = client.stats()["store"]
    assert isinstance(gauges, dict)
    return float(gauges[name])


def _wait(is_done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _WORK_S_MAX
    while not is_done():
        if time.monotonic() > deadline_s:
            raise LoadFailed(f"not done after {_WORK_S_MAX:.0f} s")
        time.sleep(_POLL_S)
