"""The result of a benchmark: figures by operation, for machines and for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rundlet_server.cli.bench.clients import Outcome
from rundlet_server.cli.bench.histogram import LatencyHistogram
from rundlet_server.cli.bench.mix import Distribution

_QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)
_BAR_WIDTH: Final = 44
_TABLE_WIDTH: Final = 80
_TITLES: Final = ("operation", "count", "per s", "p50", "p90", "p99", "p99.9", "max", "errors")
# Edges of the chart's rows, per power of ten: steps that look alike on a logarithmic scale.
_STEPS: Final = (1, 1.5, 2, 3, 5, 7)
_EDGES_NS: Final = [step * 10**power for power in range(3, 11) for step in _STEPS]
_CHART_SHARE: Final = 0.999
_CLIENT_IS_LIMIT: Final = 0.8
COLOURS: Final = {"read": "#1c7ed6", "write": "#d9480f", "insert": "#2b8a3e", "modify": "#9c36b5"}


@dataclass(frozen=True, slots=True)
class Subject:
    """The measured store, and the machine of the clients.

    Attributes:
        place: address or folder.
        sync: the policy, or that the server does not report it.
        host: where the clients ran.
    """

    place: str
    version: str
    backend: str
    sync: str
    host: str
    is_server: bool


@dataclass(frozen=True, slots=True)
class Conditions:
    """The parameters of the benchmark.

    Attributes:
        shares: of the operations, 0 to 1.
        value_size: in bytes.
    """

    mix: str
    shares: dict[str, float]
    distribution: Distribution
    keys: int
    value_size: int
    clients: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one operation, or of all; latencies are of successful requests."""

    operation: str
    count: int
    errors: int
    per_s: float
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a benchmark."""

    subject: Subject
    conditions: Conditions
    outcome: Outcome

    @property
    def figures(self) -> list[Figures]:
        """One for each operation; if there are several, one for all together."""
        outcome = self.outcome
        rows = [
            _figures(name, histogram, outcome.errors[name], outcome.elapsed_s)
            for name, histogram in outcome.histograms.items()
        ]
        if len(rows) > 1:
            total = LatencyHistogram()
            for histogram in outcome.histograms.values():
                total.merge(histogram)
            rows.append(_figures("all", total, self.error_count, outcome.elapsed_s))
        return rows

    @property
    def count(self) -> int:
        """Operations, failed ones included."""
        return self.error_count + sum(h.count for h in self.outcome.histograms.values())

    @property
    def error_count(self) -> int:
        """How many operations failed."""
        return sum(self.outcome.errors.values())

    @property
    def client_cpu(self) -> float:
        """How much of one core this process used, 1.0 being all of it."""
        return self.outcome.cpu_s / self.outcome.elapsed_s

    @property
    def headline(self) -> str:
        """What was measured against what, on one line."""
        subject = self.subject
        what = f"Rundlet {subject.version}, {subject.backend}, sync {subject.sync}"
        return f"{subject.place} ({what}), from {subject.host}"

    @property
    def setting(self) -> str:
        """How it was measured, on one line."""
        how = self.conditions
        shares = ", ".join(f"{share:.3g} % {name}" for name, share in _percent(how.shares))
        keys = f"{how.keys:,} keys {how.distribution}, values of {how.value_size:,} bytes"
        clients = "1 client" if how.clients == 1 else f"{how.clients} clients"
        return f"{clients}, {shares}, {keys}, {self.outcome.elapsed_s:.1f} s"

    @property
    def caveat(self) -> str:
        """What the figures do not show."""
        share = f"{100 * self.client_cpu:.0f} % of a core"
        if not self.subject.is_server:
            return f"clients and store shared this one Python process, which used {share}"
        if self.client_cpu >= _CLIENT_IS_LIMIT:
            return f"the Python clients used {share} and were the limit: the server may do more"
        limit = "beyond some thousand requests/s they are the limit themselves"
        return f"the Python clients used {share}; {limit}"

    def to_members(self) -> dict[str, object]:
        """Return the report for machines; the names of times have their units."""
        return {
            "subject": asdict(self.subject),
            "conditions": asdict(self.conditions),
            "elapsed_s": self.outcome.elapsed_s,
            "client_cpu": self.client_cpu,
            "errors": self.error_count,
            "first_error": None if not self.error_count else str(self.outcome.first_error),
            "operations": [asdict(figures) for figures in self.figures],
            "note": self.caveat,
        }


def shown(report: Report, console: Console) -> str:
    """Return the report for people: lines, a table, charts; in colour on a terminal only."""
    with console.capture() as capture:
        for line in (report.headline, report.setting, ""):
            console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
        rows = [_cells(figures) for figures in report.figures]
        is_narrow = console.width < _TABLE_WIDTH
        console.print(_upright(rows) if is_narrow else _table(rows))
        for name, histogram in report.outcome.histograms.items():
            if histogram.count:
                console.print(f"\n{name}: share of operations by latency, up to", highlight=False)
                for row in _chart(histogram, COLOURS[name]):
                    console.print(row, no_wrap=True)
        note = f"\nNote: {report.caveat}."
        console.print(note, highlight=False, soft_wrap=not console.is_terminal)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def latency_text(latency_ns: float) -> str:
    """Return a latency with three digits and its unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if latency_ns >= size or unit == "µs":
            return f"{_three_digits(latency_ns / size)} {unit}"
    raise AssertionError


def _figures(operation: str, histogram: LatencyHistogram, errors: int, elapsed_s: float) -> Figures:
    quantiles_us = [histogram.quantile_ns(share) / 1e3 for share in _QUANTILES]
    per_s = histogram.count / elapsed_s
    us = (histogram.mean_ns / 1e3, *quantiles_us, histogram.max_ns / 1e3)
    return Figures(operation, histogram.count, errors, per_s, *us)


def _cells(row: Figures) -> list[Text]:
    """Return the cells of one operation, in the order of the titles."""
    us = (row.p50_us, row.p90_us, row.p99_us, row.p999_us, row.max_us)
    latencies = [latency_text(1e3 * each) if row.count else "-" for each in us]
    cells = [row.operation, f"{row.count:,}", f"{row.per_s:,.0f}", *latencies]
    return [*map(Text, cells), Text(f"{row.errors:,}", style="bold red" if row.errors else "")]


def _table(rows: Sequence[Sequence[Text]]) -> Table:
    """Return a table with a row for each operation."""
    table = Table(box=None, pad_edge=False)
    table.add_column(_TITLES[0])
    for title in _TITLES[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    return table


def _upright(rows: Sequence[Sequence[Text]]) -> Table:
    """Return a table with a column for each operation, for a narrow terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column(_TITLES[0])
    for operation, *_ in rows:
        table.add_column(operation, justify="right", no_wrap=True)
    for position, title in enumerate(_TITLES[1:], start=1):
        table.add_row(title, *(cells[position] for cells in rows))
    return table


def _chart(histogram: LatencyHistogram, colour: str) -> Iterator[Text]:
    """Yield rows of bars, from the first range that is not empty to the range of p99.9."""
    counts = histogram.counts_up_to(_EDGES_NS)
    most = max(counts) / histogram.count
    seen = 0
    for edge_ns, count in zip(_EDGES_NS, counts, strict=True):
        if seen + count:
            yield _bar(latency_text(edge_ns), count / histogram.count, most, colour)
        seen += count
        if seen >= _CHART_SHARE * histogram.count:
            break
    if seen < histogram.count:
        yield _bar("above", 1 - seen / histogram.count, most, colour)


def _bar(name: str, share: float, most: float, colour: str) -> Text:
    """Return one row of a chart; the share ``most`` has the longest bar."""
    width = round(_BAR_WIDTH * share / most) if most else 0
    bar = "█" * width or ("▏" if share else "")
    percent = f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"
    return Text.assemble(f"{name:>8} │", (bar, colour), f" {percent} %")


def _percent(shares: dict[str, float]) -> Iterator[tuple[str, float]]:
    return ((name, 100 * share) for name, share in shares.items())


def _three_digits(number: float) -> str:
    decimals = 0 if number >= 100 else 1 if number >= 10 else 2
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
