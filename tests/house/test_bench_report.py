"""Test what is made of figures: ratios, verdicts, the report and its charts."""

from __future__ import annotations

import json

import pytest

from bench import report
from bench.better import Better, better
from bench.charts import Line, bar_chart, line_chart, number
from bench.publish import publish
from bench.results import Case, Results
from bench.scale import CORES
from bench.targets import all_targets, judge
from tests.support import ROOT


def sample_results() -> Results:
    """Two repeats in which Rundlet reads at nine tenths of Falcon's rate."""
    cases = []
    for repeat in range(2):
        rates = {"rundlet, granian": 900.0, "falcon + dict, granian": 1_000.0}
        for system, rate in rates.items():
            figures = {"requests/s": rate * (repeat + 1), "p99 ms": 1.5}
            cases.append(Case("http/get", "uniform", system, repeat, figures))
    cases.append(Case("http/latency", "no puts", "rundlet, waitress", 0, {"p50 ms": 1.0}))
    return Results(cases)


def test_targets_are_ratios_within_a_repeat():
    verdicts = {verdict.target.what: verdict for verdict in judge(sample_results())}

    reached = verdicts["GET, Granian, to Falcon over a dict on Granian"]
    assert reached.measured is not None
    assert reached.measured.lowest == reached.measured.highest == pytest.approx(0.9)
    assert reached.is_reached is False
    assert verdicts["durable PUT, Granian, to etcd"].is_reached is None


@pytest.mark.parametrize(
    ("busy_cores", "gain", "is_reached"),
    [(0.2 * CORES, 1.8, True), (0.2 * CORES, 1.5, False), (CORES, 1.5, True), (CORES, 0.8, False)],
)
def test_second_server_is_to_gain_where_there_are_cores_for_it(busy_cores, gain, is_reached):
    figures = {"busy cores": busy_cores}
    cases = [
        Case("backends/servers", "etcd", system, 0, figures | {"requests/s": rate})
        for system, rate in (("one server", 1_000.0), ("two servers", 1_000.0 * gain))
    ]

    [verdict] = [one for one in judge(Results(cases)) if one.target.what.startswith("two servers")]

    assert verdict.is_reached is is_reached
    assert ("cores are busy" in verdict.target.what) == (busy_cores == CORES)


def test_results_are_read_as_they_were_recorded(tmp_path):
    path = tmp_path / "raw.json"
    case = sample_results().cases[0]
    path.write_text(json.dumps({"benchmarks": [{"extra_info": case.to_members()}]}))

    assert Results.read(path).cases == [case]


def test_report_shows_figures_targets_and_what_is_missing(tmp_path):
    missing = [{"what": "bench_put.py::test_put", "kind": "skipped", "reason": "no etcd"}] * 2
    (tmp_path / "missing.json").write_text(json.dumps(missing))

    verdicts = report.write(tmp_path, sample_results(), {"cores": "2"})

    told = list(report.verdict_lines(verdicts))
    assert told[0] == """make bench ARGS='-k "http and bench_get"'"""
    assert told[1].startswith("  miss  ")
    assert "0.9  (≥ 1 times)" in told[1]
    assert told[-1] == "0 of 1 measured targets are reached"
    text = (tmp_path / "report.md").read_text()
    assert "| uniform | rundlet, granian | 1,350 (900 to 1,800) | 1.5 |" in text
    assert "| 0.9 | **miss** | http/get |" in text
    assert "| http/get | uniform | falcon + dict, granian | 1.11 |" in text
    assert "- skipped: no etcd (`bench_put.py::test_put` and 1 more)" in text
    assert (tmp_path / "http-get.svg").exists()
    assert "(http-get.svg)" in text


def test_publish_copies_the_report(tmp_path):
    source, target = tmp_path / "report", tmp_path / "docs" / "performance"
    source.mkdir()
    assert not publish(source, target)
    report.write(source, sample_results(), {})
    target.mkdir(parents=True)
    (target / "numbers.md").write_text("# Page\n\n## In short\n\ntext\n\n## Last\n\nmore\n")
    (target / "stale.svg").write_text("of an earlier report")

    assert publish(source, target)
    assert publish(source, target)  # a second time it replaces what it wrote
    page = (target / "numbers.md").read_text()
    assert page.startswith("# Page\n\n## In short\n\ntext\n\n## Figures\n\n| what | Rundlet |")
    assert "| reads a second, 16 clients | granian 1,350 | falcon + dict, granian 1,500 |" in page
    assert page.endswith("|\n\n## Last\n\nmore\n")
    assert page.count("## Figures") == 1
    assert not (target / "stale.svg").exists()
    assert (target / "README.md").read_text() == (source / "report.md").read_text()
    assert (target / "http-get.svg").exists()


def test_charts_are_well_formed():
    from xml.etree import ElementTree  # noqa: PLC0415 # only here

    lines = line_chart("a < b", "ms", ["1", "2"], [Line("x & y", [1.0, None]), Line("z", [2, 30])])
    bars = bar_chart("rates", "1/s", [("rundlet", 10.0), ("other", 0.0)])

    for chart in (lines, bars):
        assert ElementTree.fromstring(chart).tag.endswith("svg")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1.0, "1"), (12.345, "12.3"), (123_456.7, "123,457")],
)
def test_figures_are_short(value, text):
    assert number(value) == text


def test_the_uncached_engine_is_what_others_are_compared_with():
    times = {"rundlet": 1.0, "rundlet, no cache": 4.0, "lmdb": 2.0, "sqlite3": 8.0}
    cases = [Case("engine/get", "", name, 0, {"µs/op": time}) for name, time in times.items()]

    assert [*better(Results(cases))] == [Better("engine/get", "", "lmdb", 2.0)]


def test_each_target_names_a_question_that_there_is():
    for target in all_targets(Results([])):
        for cell in (target.ours, target.other):
            if cell is not None:
                folder, name = cell.question.split("/")
                assert (ROOT / "bench" / folder / f"bench_{name}.py").exists(), cell
