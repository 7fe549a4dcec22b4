"""Write the report of one run: tables, charts and targets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from bench.better import better
from bench.charts import Line, bar_chart, line_chart, number
from bench.load.outcome import PERCENTILES
from bench.places import MISSING_NAME, SUMMARY_NAME
from bench.results import Results, Spread
from bench.summary import summary
from bench.targets import judge
from bench.targets.model import Verdict

_VERDICTS: Final = {True: "pass", False: "**miss**", None: "not measured"}
_INTRODUCTION: Final = """\
# Benchmarks

Every figure is the median of all repeats; if the repeats differ, the lowest and the highest are in
brackets. In each repeat the systems took turns, and each ratio compares two systems of the same
repeat. Everything ran on one machine over loopback, load generators included. So compare figures
within this report only, not with figures from elsewhere.

Every system has its default options, except for ports, folders and when it syncs. With
`sync=always`, and in the systems compared with it, a write is acknowledged only after it is synced
to the disk. The benchmark read back every acknowledged write.

`falcon + dict`, `flask + dict` and `fastapi + file` keep values in memory only, and
`nginx, constant` keeps none: they show what the HTTP servers and the machine can do at most.

`make bench ARGS='-k "FOLDER and bench_NAME"'` measures the question `FOLDER/NAME` alone.
"""


def write(folder: Path, results: Results, properties: dict[str, str]) -> Sequence[Verdict]:
    """Write the report, its charts and its summary, and return a verdict on each target.

    Args:
        folder: of the report; it holds the raw results already.
        results: of the run.
        properties: those of the machine and the run, by name.
    """
    charts = dict(_charts(results))
    for name, chart in charts.items():
        (folder / f"{name}.svg").write_text(chart)
    (folder / "machine.json").write_text(json.dumps(properties, indent=1))
    verdicts = judge(results)
    parts = [_INTRODUCTION, _machine(properties), _targets(verdicts)]
    parts += [_others(results), _missing(folder)]
    parts += [f"![{name}]({name}.svg)\n" for name in charts]
    parts += [_question(results.of(question), question) for question in results.questions()]
    (folder / "report.md").write_text("\n".join(part for part in parts if part))
    (folder / SUMMARY_NAME).write_text(summary(results))
    return verdicts


def verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield a line for each target, for a terminal, and how many targets are reached.

    The command that measures some targets alone stands above them.
    """
    width = max(len(verdict.target.what) for verdict in verdicts)
    for command, group in groupby(verdicts, key=lambda verdict: verdict.command):
        yield command
        for verdict in group:
            word = _VERDICTS[verdict.is_reached].strip("*")
            what = verdict.target.what.ljust(width)
            yield f"  {word:12}  {what}  {_spread(verdict.measured):>24}  ({_bound(verdict)})"
    reached = sum(verdict.is_reached is True for verdict in verdicts)
    measured = sum(verdict.is_reached is not None for verdict in verdicts)
    yield f"{reached} of {measured} measured targets are reached"


def _machine(properties: dict[str, str]) -> str:
    rows = [f"| {name} | {value} |" for name, value in properties.items()]
    return "\n".join(["## Machine and run", "", "| property | value |", "|---|---|", *rows, ""])


def _targets(verdicts: Sequence[Verdict]) -> str:
    lines = ["## Targets", "", "| ratio or figure | target | measured | verdict | question |"]
    lines.append("|---|---|---|---|---|")
    for verdict in verdicts:
        measured = _spread(verdict.measured)
        lines.append(
            f"| {verdict.target.what} | {_bound(verdict)} | {measured} | "
            f"{_VERDICTS[verdict.is_reached]} | {verdict.target.ours.question} |"
        )
    return "\n".join([*lines, ""])


def _bound(verdict: Verdict) -> str:
    target = verdict.target
    bound = f"≥ {target.least:,g}" if target.least is not None else f"≤ {target.most:,g}"
    return f"{bound} {target.unit}"


def _others(results: Results) -> str:
    """Write where another system is better than Rundlet, by the first figure of each question."""
    found = list(better(results))
    if not found:
        return ""
    lines = ["## Where another system is better", "", "| question | case | system | times |"]
    lines.append("|---|---|---|---:|")
    lines += [
        f"| {one.question} | {one.case} | {one.system} | {number(one.times)} |" for one in found
    ]
    return "\n".join([*lines, ""])


def _missing(folder: Path) -> str:
    path = folder / MISSING_NAME
    missing = json.loads(path.read_text()) if path.exists() else []
    if not missing:
        return ""
    reasons = Counter((entry["kind"], entry["reason"]) for entry in missing)
    first = {(entry["kind"], entry["reason"]): entry["what"] for entry in reversed(missing)}
    lines = ["## Skipped and failed", ""]
    for (kind, reason), count in reasons.items():
        more = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"- {kind}: {reason} (`{first[kind, reason]}`{more})")
    return "\n".join([*lines, ""])


def _question(results: Results, question: str) -> str:
    """Write a table: a row for every case and system, a column for every figure."""
    figures = results.figure_names()
    lines = [f"## {question}", "", "| case | system | " + " | ".join(figures) + " |"]
    lines.append("|---|---|" + "---:|" * len(figures))
    for case in results.names(lambda found: found.case):
        in_case = Results([found for found in results.cases if found.case == case])
        for system in in_case.names(lambda found: found.system):
            cells = [_spread(results.spread(question, case, system, name)) for name in figures]
            lines.append(f"| {case} | {system} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    median = number(spread.median)
    if spread.lowest == spread.highest:
        return median
    return f"{median} ({number(spread.lowest)} to {number(spread.highest)})"


def _charts(results: Results) -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG of each chart for which there are figures."""
    yield from _bars(results, "http/get", "requests/s", "Reads over HTTP, 16 clients")
    yield from _bars(results, "http/put", "requests/s", "Durable writes over HTTP, 64 clients")
    yield from _lines(results, "http/clients", "requests/s", "Reads by number of clients")
    yield from _lines(results, "engine/keys", "µs/op", "Cost by number of keys")
    yield from _lines(results, "engine/open", "ms to first get", "Opening after kill -9")
    yield from _lines(results, "http/memory", "private MB/worker", "Private memory by keys")
    for case in results.of("http/latency").names(lambda found: found.case):
        yield from _percentiles(results, "http/latency", case)


def _bars(results: Results, question: str, figure: str, title: str) -> Iterator[tuple[str, str]]:
    found = results.of(question)
    case = next(iter(found.names(lambda case: case.case)), "")
    bars = [
        (system, spread.median)
        for system in found.names(lambda case: case.system)
        if (spread := found.spread(question, case, system, figure)) is not None
    ]
    if bars:
        bars.sort(key=lambda bar: -bar[1])
        yield _name(question), bar_chart(title, figure, bars)


def _lines(results: Results, question: str, figure: str, title: str) -> Iterator[tuple[str, str]]:
    found = results.of(question)
    cases = found.names(lambda case: case.case)
    lines = [
        Line(
            system,
            [
                spread.median if (spread := found.spread(question, case, system, figure)) else None
                for case in cases
            ],
        )
        for system in found.names(lambda case: case.system)
    ]
    if any(line.values for line in lines):
        yield _name(question), line_chart(title, figure, cases, lines)


def _percentiles(results: Results, question: str, case: str) -> Iterator[tuple[str, str]]:
    found = results.of(question)
    lines = []
    for system in found.names(lambda other: other.system):
        spreads = [found.spread(question, case, system, f"{name} ms") for name in PERCENTILES]
        lines.append(Line(system, [spread.median if spread else None for spread in spreads]))
    if any(value for line in lines for value in line.values):
        title = f"Latency of reads, {case}"
        yield f"{_name(question)}-{_name(case)}", line_chart(title, "ms", list(PERCENTILES), lines)


def _name(text: str) -> str:
    """Turn a text into the name of a file."""
    return "-".join("".join(c if c.isalnum() else " " for c in text).split())
