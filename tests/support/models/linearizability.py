"""Decide whether the operations that clients saw on a key are linearizable.

The search is that of Wing and Gong with Lowe's memory of configurations: take any operation that no
finished operation must precede, check that its answer fits the value at that point, and continue;
if no operation fits, go back. Keys are independent, so each has its own history.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["get", "put", "swap", "delete", "add"]
Answer = str | int | bool | None


class Unknown(Exception):
    """The operation may have happened, may happen later, or may never happen."""


class NotDone(Exception):
    """The operation has certainly not happened."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one key.

    Attributes:
        begun_s, ended_s: it took effect between these times; the end is infinite if it is unknown.
        kind: ``swap`` writes ``value`` if the key holds ``expected``.
        value: the value to write or to add.
        expected: see ``kind``; ``None`` if the key must have no value.
        answer: of ``get`` the value; of ``swap`` and ``delete`` the success; of ``add`` the sum.
        is_known: the answer is known; otherwise the operation may never have happened.
    """

    begun_s: float
    ended_s: float
    kind: Kind
    value: str = ""
    expected: str | None = None
    answer: Answer = None
    is_known: bool = True


class _Outcome(NamedTuple):
    value: str | None
    answer: Answer


def outcome(operation: Operation, held: str | None) -> _Outcome:
    """Return the effect of an operation on a key that holds a value, and its answer."""
    match operation.kind:
        case "get":
            return _Outcome(held, held)
        case "put":
            return _Outcome(operation.value, None)
        case "swap":
            fits = held == operation.expected
            return _Outcome(operation.value if fits else held, fits)
        case "delete":
            return _Outcome(None, held is not None)
        case "add":
            total = int(held or "0") + int(operation.value)
            return _Outcome(str(total), total)


def is_linearizable(history: list[Operation]) -> bool:
    """Return whether some order of the operations explains every answer; the key starts empty."""
    operations = sorted(history, key=lambda operation: operation.begun_s)
    seen: set[tuple[int, str | None]] = set()
    known = sum(1 << i for i, operation in enumerate(operations) if operation.is_known)
    waiting: list[tuple[int, str | None]] = [(0, None)]  # which are done, and the value then
    while waiting:
        done, held = waiting.pop()
        if done & known == known:
            return True
        if (done, held) in seen:
            continue
        seen.add((done, held))
        for i in _next(operations, done):
            value, answer = outcome(operations[i], held)
            if not operations[i].is_known or answer == operations[i].answer:
                waiting.append((done | 1 << i, value))
    return False


def _next(operations: list[Operation], done: int) -> list[int]:
    """Return the operations that may be next: each began before any other remaining one ended."""
    left = [i for i in range(len(operations)) if not done >> i & 1]
    first_end_s = min(operations[i].ended_s for i in left)
    return [i for i in left if operations[i].begun_s <= first_end_s]


class Recorder:
    """Records the operations of clients, from any thread, and checks them key by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._histories: dict[str, list[Operation]] = defaultdict(list)

    def do(
        self,
        key: str,
        kind: Kind,
        act: Callable[[], Answer],
        *,
        value: str = "",
        expected: str | None = None,
    ) -> Answer:
        """Run an operation and record it; ``act`` may raise ``Unknown`` or ``NotDone``."""
        begun_s = time.monotonic()
        ended_s, answer, is_known = math.inf, None, False
        try:
            answer = act()
            ended_s, is_known = time.monotonic(), True
        except NotDone:
            return None
        except Unknown:
            if kind == "get":
                return None
        operation = Operation(begun_s, ended_s, kind, value, expected, answer, is_known)
        with self._lock:
            self._histories[key].append(operation)
        return answer

    @property
    def operation_count(self) -> int:
        """Return the number of recorded operations."""
        return sum(map(len, self._histories.values()))

    def wrong_keys(self) -> list[str]:
        """Return the keys whose history is not linearizable."""
        return [key for key, history in self._histories.items() if not is_linearizable(history)]
