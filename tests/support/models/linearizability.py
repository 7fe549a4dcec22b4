"""Decides whether what clients saw of a key could have happened one operation after the other.

The search is that of Wing and Gong, with Lowe's memory of configurations: take any operation that
no finished one had to precede, see whether its answer fits the value then, and go on; where
nothing fits, go back. Keys are independent, so each has a history of its own.
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
    """The operation may or may not have happened, now or later."""


class NotDone(Exception):
    """The operation has certainly not happened."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one key.

    Attributes:
        begun_s, ended_s: when; it took effect in between. Infinite where nobody knows.
        kind: ``swap`` writes ``value`` where the key holds ``expected``.
        value: written, or added.
        expected: see ``kind``; ``None``: the key has no value.
        answer: ``get``: the value; ``swap`` and ``delete``: whether; ``add``: the sum.
        is_known: the answer is; else the operation may never have happened.
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
    """What an operation does to a key that holds a value, and what it answers."""
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
    """Whether some order of the operations explains every answer; the key begins without value."""
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
    """Operations that may come next: begun before any other that is not done has ended."""
    left = [i for i in range(len(operations)) if not done >> i & 1]
    first_end_s = min(operations[i].ended_s for i in left)
    return [i for i in left if operations[i].begun_s <= first_end_s]


class Recorder:
    """Collects what clients do, from any thread, and judges it key by key."""

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
        """Do an operation and note it; ``act`` may raise ``Unknown`` or ``NotDone``."""
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
        """How many operations were noted."""
        return sum(map(len, self._histories.values()))

    def wrong_keys(self) -> list[str]:
        """Keys whose history no order explains."""
        return [key for key, history in self._histories.items() if not is_linearizable(history)]
