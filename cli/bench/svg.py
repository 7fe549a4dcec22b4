"""A benchmark as a picture: latency by percentile, one line per operation, as SVG.

On the axis of percentiles, p90, p99 and p99.9 are at equal distances, so that the few slow requests
are visible; latencies are on a logarithmic scale. The picture has its own background, so it is
readable on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Final

from rundlet_server.cli.bench.histogram import LatencyHistogram
from rundlet_server.cli.bench.report import COLOURS, Report, latency_text

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 130, 100, 52
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-size:16px;font-weight:600}"
    ".page{fill:#fff}.grid{stroke:#8885;stroke-width:1}.line{fill:none;stroke-width:2.2}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.page{fill:#161b22}}"
)
_TICKS: Final = ((0.0, "min"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
_NINES_MAX: Final = 3.3  # a little beyond p99.9
_STEP: Final = 0.05


def svg(report: Report) -> str:
    """Return the picture; it has no line if no operation succeeded."""
    histograms = {name: h for name, h in report.outcome.histograms.items() if h.count}
    lows = [h.quantile_ns(0) for h in histograms.values()]
    highs = [h.quantile_ns(1 - 10**-_NINES_MAX) for h in histograms.values()]
    plot = _Plot(min(lows, default=1_000), max(highs, default=1_000_000))
    parts = [
        f'<rect class="page" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        _text(24, 30, "Latency by percentile", "title"),
        _text(24, 52, report.headline),
        _text(24, 72, f"{report.setting}, {_throughput(report)}"),
        *plot.grid(),
    ]
    for position, (name, histogram) in enumerate(histograms.items()):
        parts.append(plot.line(histogram, COLOURS[name]))
        y = _TOP + 8 + 22 * position
        x = _WIDTH - _RIGHT + 20
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{COLOURS[name]}"/>')
        parts.append(_text(x + 18, y + 1, name))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" role="img" aria-label="{escape(report.headline)}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


class _Plot:
    """Maps percentiles and latencies to places in the picture."""

    def __init__(self, low_ns: int, high_ns: int) -> None:
        self._low = math.floor(math.log10(max(1, low_ns)))
        self._high = max(self._low + 1, math.ceil(math.log10(max(1, high_ns))))

    def grid(self) -> Iterator[str]:
        """Yield the lines and labels of both scales."""
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        for power in range(self._low, self._high + 1):
            y = self._y_of(10.0**power)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
            yield _text(_LEFT - 10, y + 4, latency_text(10.0**power), anchor="end")
        for share, name in _TICKS:
            x = self._x_of(_nines(share))
            yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
            yield _text(x, bottom + 20, name, anchor="middle")

    def line(self, histogram: LatencyHistogram, colour: str) -> str:
        """Return the curve of one operation."""
        nines = [_STEP * step for step in range(round(_NINES_MAX / _STEP) + 1)]
        places = [(x, histogram.quantile_ns(1 - 10**-x)) for x in nines]
        track = " ".join(f"{self._x_of(x):.1f},{self._y_of(ns):.1f}" for x, ns in places)
        return f'<polyline class="line" stroke="{colour}" points="{track}"/>'

    def _x_of(self, nines: float) -> float:
        return _LEFT + (_WIDTH - _RIGHT - _LEFT) * nines / _NINES_MAX

    def _y_of(self, latency_ns: float) -> float:
        height = _HEIGHT - _BOTTOM - _TOP
        share = (math.log10(max(1.0, latency_ns)) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - height * share


def _nines(share: float) -> float:
    """Return how many nines a share has: 1 for 0.9, 2 for 0.99."""
    return -math.log10(1 - share)


def _throughput(report: Report) -> str:
    succeeded = report.count - report.error_count
    return f"{succeeded / report.outcome.elapsed_s:,.0f} operations/s"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'
