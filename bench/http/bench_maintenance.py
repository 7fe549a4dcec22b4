"""How do large transactions, checkpoints and compaction affect the latency of reads?

Reads arrive at a steady rate. ``transactions`` is a sequence of 70 transactions of 1,000 puts each,
with the checkpoint that they cause; ``checkpoint`` is one that a few small transactions cause.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from bench.errors import LoadFailed
from bench.load import generator
from bench.recorder import Recorder
from bench.systems.catalogue import GRANIAN_OPTIONS, WAITRESS_OPTIONS, rundlet
from bench.systems.running import Server, Servers
from bench.systems.system import System
from bench.workload import READS, key_of, value_of
from rundlet import Client, Put, RundletError

_WITHOUT_HISTORY = ("--keep-for", "0", "--keep-versions", "1")  # values are dead once replaced
_SYSTEMS = (
    rundlet("waitress, keep-for 0", *WAITRESS_OPTIONS, *_WITHOUT_HISTORY),
    rundlet("granian, keep-for 0", *GRANIAN_OPTIONS, *_WITHOUT_HISTORY),
)
_RATE_PER_S = 1_000
_TXN_KEYS = 1_000
_SMALL_TXN_KEYS = 10
_LAST_KEYS = 1_000
_SEGMENT_KEYS = 70_000
_SEGMENT_RECORDS = 65_536  # the server seals a segment that has this many
_NEW_KEYS = 1 << 40
_WORK_S_MAX = 30.0
_POLL_S = 0.02


def _idle(server: Server, client: Client) -> None:
    """Only poll the server's figures, as in the other cases, because polling takes time, too."""
    ended_s = time.monotonic() + server.scale.load_s
    _wait(lambda: _gauge(client, "log_bytes") >= 0 and time.monotonic() >= ended_s)


def _nothing_before(_client: Client) -> None:
    """Prepare nothing."""


def _fill_most_of_a_segment(client: Client) -> None:
    """Write until a few more writes make the server seal the segment, with no other work due."""
    _wait(lambda: _gauge(client, "unindexed_records") < _SEGMENT_RECORDS)
    there = int(_gauge(client, "unindexed_records"))
    missing = (_SEGMENT_RECORDS - there - _LAST_KEYS // 2) % _SEGMENT_RECORDS
    _put(client, missing, each=_TXN_KEYS)
    _wait(lambda: _gauge(client, "unindexed_records") < _SEGMENT_RECORDS)


def _checkpoint(_server: Server, client: Client) -> None:
    _put(client, _LAST_KEYS, each=_SMALL_TXN_KEYS)
    # There are more records than in one segment only while a sealed one waits for its index file.
    _wait(lambda: _gauge(client, "unindexed_records") < _LAST_KEYS)


def _transactions(_server: Server, client: Client) -> None:
    _put(client, _SEGMENT_KEYS, each=_TXN_KEYS)
    _wait(lambda: _gauge(client, "unindexed_records") < _SEGMENT_RECORDS)


def _fill_a_segment_with_dead_values(client: Client) -> None:
    _put(client, _SEGMENT_KEYS, each=_TXN_KEYS)
    _put(client, _SEGMENT_KEYS, each=_TXN_KEYS)


def _compact(_server: Server, client: Client) -> None:
    before = _gauge(client, "log_bytes")
    client.compact()
    _wait(lambda: _gauge(client, "log_bytes") < before)


def _back_up(server: Server, client: Client) -> None:
    """Take full backups, one after the other, in a process of their own."""
    del client
    url = f"http://127.0.0.1:{server.port}"
    ended_s = time.monotonic() + server.scale.load_s
    while time.monotonic() < ended_s:
        with tempfile.TemporaryDirectory() as backups:
            command = [sys.executable, "-m", "rundlet_server", "backup", backups, "--url", url]
            ended = subprocess.run(command, capture_output=True, check=False)
        if ended.returncode:
            raise LoadFailed(ended.stderr.decode())


class _Case(NamedTuple):
    """The preparation, and the job that runs while latencies are measured."""

    prepare: Callable[[Client], None]
    job: Callable[[Server, Client], None]


_CASES = {
    "idle": _Case(_nothing_before, _idle),
    "transactions": _Case(_nothing_before, _transactions),
    "checkpoint": _Case(_fill_most_of_a_segment, _checkpoint),
    "compaction": _Case(_fill_a_segment_with_dead_values, _compact),
    "backup": _Case(_nothing_before, _back_up),
}


@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize("system", _SYSTEMS, ids=lambda system: system.name)
def test_maintenance(record: Recorder, servers: Servers, system: System, case: str) -> None:
    server = servers.get(system)
    with Client(f"http://127.0.0.1:{server.port}") as client:
        prepare, job = _CASES[case]

        def ask() -> dict[str, float]:
            prepare(client)
            return _latencies_ms(server, lambda: job(server, client))

        record.figures(ask, system=system.name, case=case)


def _latencies_ms(server: Server, work: Callable[[], None]) -> dict[str, float]:
    """Return the latencies of the reads that began during the work."""
    plan = server.plan(server.script(READS), rate_per_s=_RATE_PER_S, load_s=_WORK_S_MAX)
    span = _Span(work, begin_after_s=plan.warm_up_s)
    outcome = generator.run(plan, until=span.has_ended)
    between_s = span.between_s()
    latencies = outcome.samples["get"].percentiles_ms(between_s)
    named = {f"{name} ms": value for name, value in latencies.items()}
    return named | {"took s": between_s[1] - between_s[0]}


class _Span:
    """Work in a thread, with the times at which it began and ended."""

    def __init__(self, work: Callable[[], None], *, begin_after_s: float) -> None:
        self._work = work
        self._began_s = time.monotonic() + begin_after_s
        self._ended_s = self._began_s
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def has_ended(self) -> bool:
        """Return whether the work is done."""
        return not self._thread.is_alive()

    def between_s(self) -> tuple[float, float]:
        """Return when the work began and ended, on the monotonic clock.

        Raises:
            LoadFailed: the work failed.
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
            self._error = ex  # the thread that calls between_s raises it
        self._ended_s = time.monotonic()


def _put(client: Client, count: int, *, each: int) -> None:
    """Put ``count`` values, ``each`` in a transaction, under the same keys every time."""
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
            raise LoadFailed(f"the maintenance work did not end within {_WORK_S_MAX:.0f} s")
        time.sleep(_POLL_S)
