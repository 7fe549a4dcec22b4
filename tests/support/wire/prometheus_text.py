"""A strict parser of Prometheus' text format, which rejects everything it does not know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HELP = re.compile(r"# HELP ([a-z_]+) (\S.*\S)")
_TYPE = re.compile(r"# TYPE ([a-z_]+) (counter|gauge|histogram)")
_LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"([a-z_]+)(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")
_ENDINGS = {
    "counter": ("",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}

Labels = tuple[tuple[str, str], ...]


@dataclass
class Family:
    """A metric: its kind, and the numbers of its samples by ending and labels."""

    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def number(self, ending: str = "", **labels: str) -> float:
        """Return the sum of the samples that have at least these labels."""
        wanted = set(labels.items())
        found = [n for (e, have), n in self.samples.items() if e == ending and wanted <= set(have)]
        assert found, f"no sample {ending!r} with {labels}"
        return sum(found)


def parse(text: str) -> dict[str, Family]:
    """Return the metrics by name.

    A description must precede the samples of each metric, no metric or sample may occur twice, and
    the names of counters, histograms and units must follow the rules.
    """
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    lines = iter(text.splitlines())
    name = ""
    for line in lines:
        if line.startswith("# HELP"):
            name = _described(line, next(lines), families)
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, line
        family = families[name]
        ending = match[1].removeprefix(name)
        assert match[1].startswith(name), f"{line}: not below its own description"
        assert ending in _ENDINGS[family.kind], line
        labels = tuple(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
        assert (ending, labels) not in family.samples, f"{line}: twice"
        family.samples[ending, labels] = float(match[3])
    for name, family in families.items():
        _check(name, family)
    return families


def _described(help_line: str, type_line: str, families: dict[str, Family]) -> str:
    help_match, type_match = _HELP.fullmatch(help_line), _TYPE.fullmatch(type_line)
    assert help_match, help_line
    assert type_match, type_line
    assert help_match[1] == type_match[1]
    name = type_match[1]
    assert name not in families, f"{name}: twice"
    families[name] = Family(type_match[2])
    return name


def _check(name: str, family: Family) -> None:
    assert name.startswith("rundlet_")
    assert name.endswith("_total") == (family.kind == "counter"), name
    assert not re.search(r"_(ms|us|ns|kb|mb|milliseconds|kilobytes)(_|$)", name), name
    if family.kind != "gauge":
        assert all(number >= 0 for number in family.samples.values()), name
    if family.kind == "histogram":
        _check_histogram(name, family)


def _check_histogram(name: str, family: Family) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (ending, labels), number in family.samples.items():
        if ending == "_bucket":
            others = tuple(label for label in labels if label[0] != "le")
            series.setdefault(others, []).append((float(dict(labels)["le"]), number))
    for labels, buckets in series.items():
        assert buckets == sorted(buckets), f"{name}: buckets are cumulative and in order"
        assert buckets[-1][0] == float("inf"), name
        assert buckets[-1][1] == family.samples["_count", labels], name
        assert ("_sum", labels) in family.samples, name
