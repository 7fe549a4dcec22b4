"""Draw charts as SVG without any package: lines over named points, and bars.

Colour-blind readers can tell the colours apart, and all colours show on light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_COLOURS: Final = (
    "#d9480f", "#1c7ed6", "#2b8a3e", "#9c36b5", "#c08a00",
    "#0c8599", "#e64980", "#748c00", "#5f3dc4", "#868e96",
)  # fmt: skip
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}"
    ".grid{stroke:#8884;stroke-width:1}.line{fill:none;stroke-width:2.2}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)
_WIDTH: Final = 860
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 44, 40
_PLOT_HEIGHT: Final = 300
_BAR_HEIGHT: Final = 24
_BAR_LEFT: Final = 230


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a value for every point, or ``None`` if it was not measured there."""

    name: str
    values: Sequence[float | None]


def line_chart(title: str, unit: str, points: Sequence[str], lines: Sequence[Line]) -> str:
    """Draw lines over points at equal distances; the scale of the values is logarithmic.

    Args:
        title: shown above the chart.
        unit: of the values.
        points: the names along the bottom.
        lines: at least one of them has a positive value.
    """
    values = [value for line in lines for value in line.values if value and value > 0]
    low = math.floor(math.log10(min(values)))
    high = max(low + 1, math.ceil(math.log10(max(values))))
    height = _TOP + _PLOT_HEIGHT + _BOTTOM
    right = _WIDTH - _RIGHT

    def x_of(position: int) -> float:
        return _LEFT + (right - _LEFT) * (position / max(1, len(points) - 1))

    def y_of(value: float) -> float:
        return _TOP + _PLOT_HEIGHT * (high - math.log10(value)) / (high - low)

    parts = [_text(_LEFT, 24, f"{title} ({unit})", "title")]
    for exponent in range(low, high + 1):
        y = y_of(10.0**exponent)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(_text(_LEFT - 8, y + 4, number(10.0**exponent), anchor="end"))
    for position, point in enumerate(points):
        parts.append(_text(x_of(position), height - 14, point, anchor="middle"))
    for position, line in enumerate(lines):
        colour = _COLOURS[position % len(_COLOURS)]
        places = [
            (x_of(index), y_of(value))
            for index, value in enumerate(line.values)
            if value and value > 0
        ]
        track = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{track}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        y = _TOP + 8 + 20 * position
        parts.append(f'<rect x="{right + 22}" y="{y - 9}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(right + 40, y + 2, line.name))
    return _document(height, title, parts)


def bar_chart(title: str, unit: str, bars: Sequence[tuple[str, float]]) -> str:
    """Draw bars from zero, one below the other; those of Rundlet have a colour of their own.

    Args:
        title: shown above the chart.
        unit: of the values.
        bars: names and values.
    """
    most = max(value for _, value in bars) or 1.0
    parts = [_text(16, 24, f"{title} ({unit})", "title")]
    for position, (name, value) in enumerate(bars):
        y = _TOP + _BAR_HEIGHT * position
        width = (_WIDTH - _BAR_LEFT - 100) * value / most
        colour = _COLOURS[0 if name.startswith("rundlet") else 1]
        parts.append(_text(_BAR_LEFT - 10, y + 15, name, anchor="end"))
        size = f'width="{width:.1f}" height="{_BAR_HEIGHT - 6}"'
        parts.append(f'<rect x="{_BAR_LEFT}" y="{y + 1}" {size} rx="2" fill="{colour}"/>')
        parts.append(_text(_BAR_LEFT + width + 8, y + 15, number(value)))
    return _document(_TOP + _BAR_HEIGHT * len(bars) + 12, title, parts)


def number(value: float) -> str:
    """Format a figure for people, with three significant digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _document(height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" role="img" aria-label="{escape(title)}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])
