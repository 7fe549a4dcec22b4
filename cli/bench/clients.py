"""The clients of a benchmark: threads that send one request after the other."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from rundlet_server.cli.bench.histogram import LatencyHistogram
from rundlet_server.cli.bench.mix import KeySpace, Mix, Operation
from rundlet_server.cli.exits import CommandError, exit_code_of
from rundlet_server.cli.place.target import Target

_FAILED_IN_A_ROW_MAX = 8  # each was tried several times by the library already
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Extent:
    """How long clients work: for a time, or until a number of operations in all is done."""

    duration_s: float = inf
    operations: int | None = None

    @property
    def warm_up(self) -> Extent:
        """The warm-up, which is not counted: a fifth, and at least one operation."""
        if self.operations is not None:
            return Extent(operations=max(1, self.operations // 5))
        return Extent(duration_s=self.duration_s / 5)


@dataclass(frozen=True, slots=True)
class Workload:
    """What every client does."""

    mix: Mix
    keys: KeySpace
    value_size: int


@dataclass(slots=True)
class Outcome:
    """What was measured.

    Attributes:
        elapsed_s: from the first request to the last answer.
        cpu_s: processor time of this process meanwhile.
        histograms: latencies of successful requests, by operation.
        errors: number of failed requests, by operation.
        first_error: one of the errors.
    """

    elapsed_s: float
    cpu_s: float
    histograms: dict[Operation, LatencyHistogram]
    errors: dict[Operation, int]
    first_error: Exception | None


def measure(
    targets: Sequence[Target],
    workload: Workload,
    extent: Extent,
    *,
    seed: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Run one client for each target, and wait for all.

    Args:
        targets: one for each client; a target that takes many threads may be given repeatedly.
        workload: what to do.
        extent: how long to run.
        seed: the same seed makes the same choices.
        progress: called with the number of operations done since the last call.

    Raises:
        KeyboardInterrupt: after all clients have stopped.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    signals = _Signals()
    clients = [
        _Client(
            target, workload, _share_of(extent, number, len(targets)), signals, f"{seed}/{number}"
        )
        for number, target in enumerate(targets)
    ]
    try:
        for client in clients:
            client.start()
        signals.go.set()
        _wait(clients, progress)
    finally:
        signals.stop.set()
        signals.go.set()
        for client in clients:
            if client.is_alive():  # an interrupt may come before all have started
                client.join()
    elapsed_s = time.perf_counter() - began
    return _outcome(clients, elapsed_s, time.process_time() - cpu_began)


@dataclass(frozen=True, slots=True)
class _Signals:
    """Starts and stops all clients; after an interrupt during the start, no client begins."""

    go: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)


class _Client(threading.Thread):
    """One client: it sends a request, waits for the answer, and goes on."""

    def __init__(
        self, target: Target, workload: Workload, extent: Extent, signals: _Signals, seed: str
    ) -> None:
        # A server that hangs must not keep the process from ending.
        super().__init__(name=f"bench-{seed}", daemon=True)
        self._target = target
        self._workload = workload
        self._extent = extent
        self._signals = signals
        self._dice = random.Random(seed)
        self._value = self._dice.randbytes(workload.value_size)
        self.histograms = {operation: LatencyHistogram() for operation in workload.mix.shares}
        self.errors = dict.fromkeys(workload.mix.shares, 0)
        self.first_error: Exception | None = None
        self.unexpected: Exception | None = None

    @property
    def done_count(self) -> int:
        """Operations so far, failed ones included."""
        return sum(h.count for h in self.histograms.values()) + sum(self.errors.values())

    def run(self) -> None:
        """Work until the time or the operations are used up, or too many failed in a row."""
        self._signals.go.wait()
        deadline = time.perf_counter() + self._extent.duration_s
        operations = self._extent.operations
        turns = itertools.count() if operations is None else range(operations)
        failed_in_a_row = 0
        for _ in turns:
            if self._signals.stop.is_set() or time.perf_counter() >= deadline:
                return
            failed_in_a_row = 0 if self._take_turn() else failed_in_a_row + 1
            if failed_in_a_row >= _FAILED_IN_A_ROW_MAX or self.unexpected is not None:
                return

    def _take_turn(self) -> bool:
        """Do one operation and time it; return whether it succeeded."""
        operation = self._workload.mix.operation(self._dice)
        keys = self._workload.keys
        is_insert = operation is Operation.INSERT
        key = keys.new() if is_insert else keys.chosen(self._dice)
        began_ns = time.perf_counter_ns()
        try:
            self._carry_out(operation, key)
        except Exception as ex:
            self._note(operation, ex)
            return False
        self.histograms[operation].add(time.perf_counter_ns() - began_ns)
        if is_insert:
            keys.add(key)
        return True

    def _carry_out(self, operation: Operation, key: str) -> None:
        if operation in {Operation.READ, Operation.MODIFY}:
            value = self._target.get(key)
            if value is None or len(value.data) != self._workload.value_size:
                message = f"the value of {key!r} is not as this benchmark wrote it"
                raise CommandError(message)
        if operation is not Operation.READ:
            self._target.set(key, self._value)

    def _note(self, operation: Operation, error: Exception) -> None:
        if exit_code_of(error) is None:
            self.unexpected = error
        self.errors[operation] += 1
        self.first_error = self.first_error or error


def _share_of(extent: Extent, number: int, client_count: int) -> Extent:
    """Return the share of one client."""
    if extent.operations is None:
        return extent
    whole, rest = divmod(extent.operations, client_count)
    return Extent(operations=whole + (number < rest))


def _wait(clients: Sequence[_Client], progress: Callable[[int], None]) -> None:
    told = 0
    for client in clients:
        while client.is_alive():
            client.join(_POLL_S)
            done = sum(each.done_count for each in clients)
            progress(done - told)
            told = done


def _outcome(clients: Sequence[_Client], elapsed_s: float, cpu_s: float) -> Outcome:
    outcome = Outcome(elapsed_s, cpu_s, {}, {}, None)
    for client in clients:
        if client.unexpected is not None:
            raise client.unexpected
        for operation, histogram in client.histograms.items():
            outcome.histograms.setdefault(operation, LatencyHistogram()).merge(histogram)
        for operation, count in client.errors.items():
            outcome.errors[operation] = outcome.errors.get(operation, 0) + count
        outcome.first_error = outcome.first_error or client.first_error
    return outcome
