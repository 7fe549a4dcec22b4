"""A load generator that runs on any machine: many connections in one loop, in some processes.

Every client has one connection. Without a rate it sends its next request when it has the answer to
the last one (a closed loop); with a rate, when the request is due. If an answer is late, the next
request is late, too, and its latency counts from the time at which it was due, so the figures
include a stall of the server.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Final

from bench.errors import LoadFailed
from bench.load.answers import answer_size, body_of
from bench.load.dialects import Dialect
from bench.load.outcome import Outcome, Samples
from bench.load.script import ReadBackScript, Request, Script

_RECEIVE_BYTES: Final = 1 << 18
_ANSWER_S_MAX: Final = 20.0
_FAILURES_MAX: Final = 10
_CHECK_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A load on a server.

    Attributes:
        port: of the server, on this machine.
        script: makes the requests.
        clients: the number of connections, each with one request at a time.
        load_s: the length of the counted load, in seconds.
        warm_up_s: the length of the load before that.
        processes: the number of processes that share the clients.
        rate_per_s: requests of all clients together; ``None`` for a closed loop.
        further_ports: of more servers over the same data; each has as many of the clients.
        scheme: ``https`` for wrk alone.
    """

    port: int
    script: Script
    clients: int
    load_s: float
    warm_up_s: float = 0.0
    processes: int = 1
    rate_per_s: float | None = None
    further_ports: tuple[int, ...] = ()
    scheme: str = "http"


def run(plan: Plan, *, until: Callable[[], bool] | None = None) -> Outcome:
    """Put a load on a server.

    Args:
        plan: what to send.
        until: the load ends early when this returns true; with it, one process sends the load.

    Raises:
        LoadFailed: an answer had a status other than 2xx, or a connection broke.
    """
    if plan.processes == 1 or until is not None:
        outcome = _run_clients(plan, range(plan.clients), until)
    else:
        outcome = _run_processes(plan)
    if outcome.failures:
        raise LoadFailed(outcome.failures[0])
    return outcome


def read_back(port: int, dialect: Dialect, acknowledged: dict[str, bytes]) -> int:
    """Read every acknowledged write and compare it; return how many there were.

    Raises:
        LoadFailed: a write is missing or has another value.
    """
    if acknowledged:
        script = ReadBackScript(dialect, acknowledged)
        outcome = run(Plan(port, script, min(16, len(acknowledged)), load_s=_CHECK_S_MAX))
        if outcome.count != len(acknowledged):
            message = f"read back only {outcome.count} of {len(acknowledged)} writes in time"
            raise LoadFailed(message)
    return len(acknowledged)


def _run_processes(plan: Plan) -> Outcome:
    """Deal the clients out to processes, which begin at the same time once all have started."""
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(plan.processes, mp_context=context) as pool,
    ):
        barrier = manager.Barrier(plan.processes)
        jobs = [
            pool.submit(_run_share, plan, range(first, plan.clients, plan.processes), barrier)
            for first in range(plan.processes)
        ]
        outcomes = [job.result() for job in jobs]
    outcome = outcomes[0]
    for other in outcomes[1:]:
        outcome.add(other)
    return outcome


def _run_share(plan: Plan, clients: range, barrier: Barrier) -> Outcome:
    barrier.wait()
    return _run_clients(plan, clients)


def _run_clients(plan: Plan, clients: range, until: Callable[[], bool] | None = None) -> Outcome:
    loop = _Loop(plan, until)
    try:
        loop.run([_Client(plan, number) for number in clients])
    finally:
        loop.close()
    return loop.outcome


class _Client:
    """A connection with its requests and the answer that it is receiving."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._requests = plan.script.requests(number, plan.clients)
        self._following = next(self._requests, None)  # made before its latency counts
        self.interval_s = plan.clients / plan.rate_per_s if plan.rate_per_s else 0.0
        self.due_s = 0.0
        self.began_s = 0.0
        self.request = Request("get", b"")
        ports = (plan.port, *plan.further_ports)
        port = ports[number % len(ports)]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = bytearray()
        self._answer_size = 0

    def send(self, began_s: float) -> bool:
        """Send the next request; return false if there is none."""
        if self._following is None:
            return False
        self.request = self._following
        self.began_s = began_s
        self.socket.sendall(self.request.data)
        self._following = next(self._requests, None)
        return True

    def receive(self) -> bytes | None:
        """Receive data; return the whole answer once it is complete.

        Raises:
            ConnectionError: the server closed the connection.
        """
        received = self.socket.recv(_RECEIVE_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        if not self._answer_size:
            received = bytes(self._answer) + received
            self._answer.clear()
            size = answer_size(received)
            if len(received) == size:
                return received
            self._answer_size = size or 0
        self._answer += received
        if self._answer_size and len(self._answer) >= self._answer_size:
            answer = bytes(self._answer)
            self._answer.clear()
            self._answer_size = 0
            return answer
        return None


class _Loop:
    """The loop over the connections of one process, until the time is up."""

    def __init__(self, plan: Plan, until: Callable[[], bool] | None) -> None:
        self._plan = plan
        self._until = until
        self._count_from_s = self._end_s = 0.0
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Client] = []
        self._clients: list[_Client] = []
        self._running = 0
        self.outcome = Outcome(plan.load_s, {}, {})

    def run(self, clients: list[_Client]) -> None:
        """Run until every client has ended; ``outcome`` holds the result."""
        start_s = time.monotonic()
        self._count_from_s = start_s + self._plan.warm_up_s
        self._end_s = self._count_from_s + self._plan.load_s
        self._clients = clients
        self._running = len(clients)
        for position, client in enumerate(clients):
            self._selector.register(client.socket, selectors.EVENT_READ, client)
            client.due_s = start_s + client.interval_s * position / len(clients)
            self._next(client, start_s)
        answers_by_s = self._end_s + _ANSWER_S_MAX
        while self._running:
            for key, _ in self._selector.select(self._pause_s()):
                self._receive(key.data)
            now_s = time.monotonic()
            if self._until is not None and self._until():
                self._end_s = min(self._end_s, now_s)
            self._wake(now_s)
            if now_s > answers_by_s or len(self.outcome.failures) >= _FAILURES_MAX:
                self.outcome.failures.append(f"the server gave no answer in {_ANSWER_S_MAX:.0f} s")
                return

    def close(self) -> None:
        """Close all connections."""
        self._selector.close()
        for client in self._clients:
            client.socket.close()

    def _pause_s(self) -> float:
        if not self._idle:
            return 1.0
        return max(0.0, min(client.due_s for client in self._idle) - time.monotonic())

    def _wake(self, now_s: float) -> None:
        for client in [client for client in self._idle if client.due_s <= now_s]:
            self._idle.remove(client)
            self._next(client, now_s, is_late=False)

    def _receive(self, client: _Client) -> None:
        try:
            answer = client.receive()
        except OSError as ex:
            self._fail(client, str(ex))
            return
        if answer is None:
            return
        now_s = time.monotonic()
        if answer[9:10] != b"2":
            self._fail(client, answer[:200].decode("latin-1"))
            return
        self._note(client, answer, now_s)
        self._next(client, now_s)

    def _note(self, client: _Client, answer: bytes, now_s: float) -> None:
        request = client.request
        if request.kind == "put":
            self.outcome.acknowledged[request.key] = request.value
        elif request.kind == "check":
            self._compare(request, answer)
        if self._count_from_s <= client.began_s and now_s <= self._end_s:
            samples = self.outcome.samples.setdefault(request.kind, Samples())
            samples.began_s.append(client.began_s)
            samples.took_s.append(now_s - client.began_s)

    def _compare(self, request: Request, answer: bytes) -> None:
        script = self._plan.script
        assert isinstance(script, ReadBackScript)
        if script.dialect.value_in(body_of(answer)) != request.value:
            self.outcome.failures.append(f"the acknowledged write of {request.key} is lost")

    def _next(self, client: _Client, now_s: float, *, is_late: bool = True) -> None:
        """Send the next request at once, or when it is due, or end the client.

        Args:
            client: it has the answer to its last request.
            now_s: monotonic time.
            is_late: true if a due request had to wait for the answer before it, so that its latency
                counts from when it was due; false if only this loop slept until it was due.
        """
        if now_s >= self._end_s:
            self._running -= 1
        elif not client.interval_s:
            self._send(client, now_s)
        elif client.due_s <= now_s:
            self._send(client, client.due_s if is_late else now_s)
        else:
            self._idle.append(client)

    def _send(self, client: _Client, began_s: float) -> None:
        client.due_s += client.interval_s
        if not client.send(began_s):
            self._running -= 1

    def _fail(self, client: _Client, reason: str) -> None:
        self.outcome.failures.append(reason)
        self._selector.unregister(client.socket)
        self._running -= 1
