"""The part of a report that the documentation shows first: rates, times and costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from bench.charts import number
from bench.results import Results

TITLE: Final = "## Figures"


class _Row(NamedTuple):
    """A case of a question, and the figure to show."""

    what: str
    question: str
    case: str
    figure: str


_ROWS: Final = (
    _Row("reads a second, 16 clients", "http/get", "uniform", "requests/s"),
    _Row("durable writes a second, 64 clients", "http/put", "sync=always", "requests/s"),
    _Row("writes a second that are synced later", "http/put", "synced later", "requests/s"),
    _Row("reads a second beside 5 % durable writes, 64 clients", "http/mixed", "5 % puts", "GET/s"),
    _Row("the p99 of these reads, ms", "http/mixed", "5 % puts", "GET p99 ms"),
    _Row("values a second, 100 in a request, CBOR", "http/mget", "CBOR", "keys/s"),
    _Row("engine: a read, µs", "engine/get", "", "µs/op"),
    _Row("engine: a write without sync, µs", "engine/put", "sync=never", "µs/op"),
    _Row("engine: a durable write, µs", "engine/put", "sync=always", "µs/op"),
    _Row("engine: a write in a batch, µs", "engine/put_batch", "sync=never", "µs/op"),
    _Row("engine: a key and its value in a list, µs", "engine/scan", "with values", "µs/op"),
    _Row("engine: a key in a list, µs", "engine/scan", "keys only", "µs/op"),
)


def summary(results: Results) -> str:
    """Return the tables as a section of a page; empty without any of their figures."""
    rows = [line for row in _ROWS for line in _compared(results, row)]
    costs = list(_costs(results))
    parts = [TITLE, ""] if rows or costs else []
    if rows:
        parts += ["| what | Rundlet | others, the best first |", "|---|---|---|", *rows, ""]
    if costs:
        parts += ["| what a feature costs | server | with it to without it |", "|---|---|---|"]
        parts += [*costs, ""]
    return "\n".join(parts)


def _compared(results: Results, row: _Row) -> Iterator[str]:
    """Yield the line of a case, if it was measured."""
    medians = {}
    for system in results.of(row.question).names(lambda found: found.system):
        spread = results.spread(row.question, row.case, system, row.figure)
        if spread is not None:
            medians[system] = spread.median
    ours = [
        f"{system.removeprefix('rundlet').removeprefix(', ')} {number(median)}".lstrip()
        for system, median in medians.items()
        if system.startswith("rundlet")
    ]
    others = {name: value for name, value in medians.items() if not name.startswith("rundlet")}
    is_rate = row.figure.endswith("/s")
    ordered = sorted(others.items(), key=lambda other: -other[1] if is_rate else other[1])
    if ours:
        named = "; ".join(f"{system} {number(median)}" for system, median in ordered)
        yield f"| {row.what} | {'; '.join(ours)} | {named} |"


def _costs(results: Results) -> Iterator[str]:
    for question in results.questions():
        folder, _, feature = question.partition("/")
        found = results.of(question)
        if folder == "costs":
            for case in found.names(lambda one: one.case):
                what = f"{feature}, {case}" if case else feature
                for system in found.names(lambda one: one.system):
                    spread = found.spread(question, case, system, "ratio")
                    if spread is not None:
                        yield f"| {what} | {system} | {number(spread.median)} |"
