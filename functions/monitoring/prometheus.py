"""Write Prometheus' text format, version 0.0.4: families of samples, each with a description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from rundlet_server.storage.counting.counters import SUM_WORD

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Kind = Literal["counter", "gauge"]
Sample = tuple[Labels, int | float]
"""Labels and a number."""
Buckets = tuple[Labels, Sequence[int]]
"""Labels and the words of a histogram's row; see ``storage.counting.counters``."""

_NO_LABELS: Final[Labels] = {}


def single(name: str, kind: Kind, text: str, number: int | float) -> Iterator[str]:
    """Yield the lines of a metric without labels."""
    return family(name, kind, text, [(_NO_LABELS, number)])


def family(name: str, kind: Kind, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of a metric, one sample for each set of labels."""
    yield from _described(name, kind, text)
    for labels, number in samples:
        yield f"{name}{_shown(labels)} {_number(number)}"


def histogram(
    name: str, text: str, bounds: Sequence[int], series: Iterable[Buckets], *, unit: float = 1
) -> Iterator[str]:
    """Yield the lines of a histogram.

    Args:
        name: without the suffixes that its samples get.
        text: the description.
        bounds: the upper bounds of all buckets but the last, which has none.
        series: the labels and the counts of each series.
        unit: the unit of ``bounds`` and sums, as a factor to the unit of the metric.
    """
    yield from _described(name, "histogram", text)
    for labels, words in series:
        count = 0
        for bound, number in zip(bounds, words, strict=False):
            count += number
            yield f"{name}_bucket{_shown({**labels, 'le': _number(bound * unit)})} {count}"
        count += words[len(bounds)]
        yield f"{name}_bucket{_shown({**labels, 'le': '+Inf'})} {count}"
        yield f"{name}_sum{_shown(labels)} {_number(words[SUM_WORD] * unit)}"
        yield f"{name}_count{_shown(labels)} {count}"


def _described(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _shown(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(number: int | float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.12g}"
