"""Test the rates and percentiles that ``rundlet top`` computes from two scrapes."""

from __future__ import annotations

import json
import threading
from math import inf

import pytest

from rundlet_server.cli.commands.top import Past, curve, figures, line, panel, quantile
from rundlet_server.cli.place.ask import Metrics
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import run, run_on_terminal
from tests.support.processes.servers import RundletServer
from tests.support.wire.served_model import served


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([], 0.5, None),
        ([(1.0, 0.0), (inf, 0.0)], 0.5, None),
        ([(1.0, 10.0), (inf, 10.0)], 0.5, 0.5),
        ([(1.0, 10.0), (2.0, 20.0), (inf, 20.0)], 0.75, 1.5),
        ([(1.0, 0.0), (2.0, 4.0), (inf, 4.0)], 0.5, 1.5),
        ([(1.0, 1.0), (2.0, 1.0), (inf, 10.0)], 0.99, 2.0),
    ],
)
def test_quantiles_are_those_of_the_buckets(buckets, share, expected):
    assert quantile(buckets, share) == expected


def metrics(started: int, count: int, keys: int) -> Metrics:
    name = "rundlet_http_request_duration_seconds"
    return Metrics(
        f"rundlet_start_time_seconds {started}\n"
        f'{name}_bucket{{route="/",le="0.001"}} {count}\n'
        f'{name}_bucket{{route="/",le="+Inf"}} {count}\n'
        f'{name}_count{{route="/"}} {count}\n'
        f"rundlet_keys {keys}\nrundlet_ready 1\n"
    )


def test_rates_are_differences_and_gauges_are_not():
    found = figures(metrics(1, 100, 5), metrics(1, 300, 7), 2.0)

    assert found.requests == 100
    assert found.keys == 7
    assert found.p50_ms == pytest.approx(0.5)
    assert found.ready


def test_server_that_was_started_again_counts_from_its_start():
    assert figures(metrics(1, 100, 5), metrics(2, 30, 5), 1.0).requests == 30


def test_idle_server_has_no_percentiles():
    found = figures(metrics(1, 100, 5), metrics(1, 100, 5), 1.0)

    assert found.p99_ms is None
    assert "p99 -" in line(found)
    assert len(list(panel(found))) == 8
    assert max(map(len, panel(found))) <= 60


def test_curve_rises_with_the_amounts():
    assert curve([0, 1, 4, 8, 0.01]) == " ▁▄█▁"
    assert curve([0, 0]) == "  "
    assert curve([]) == ""


@pytest.mark.parametrize("width", [60, 80, 200])
def test_past_looks_fit_the_terminal(width):
    past = Past()
    for number in range(300):
        past.add(figures(metrics(1, 0, 5), metrics(1, 1_000 * number, 5), 1.0))

    lines = list(past.lines(width))

    assert [line.split()[0] for line in lines] == ["requests", "p99", "failed"]
    assert all(len(line) <= width for line in lines)
    assert "to 299,000/s" in lines[0]
    assert lines[0].rstrip().count("█") > 1


def test_requests_of_a_running_server_are_seen(tmp_path):
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        is_done = threading.Event()

        def work() -> None:
            while not is_done.is_set():
                server.client.put("/v1/kv/a", content=b"12345").raise_for_status()

        worker = threading.Thread(target=work)
        worker.start()
        try:
            ended = run("top", "--json", "--every", "0.5", "--count", "2", "--url", server.url)
        finally:
            is_done.set()
            worker.join()

    looks = [json.loads(look) for look in ended.out.splitlines()]
    assert ended.code == 0
    assert len(looks) == 2
    assert looks[1]["sets"] > 1
    # Of one request in flight at each end of half a second, some counters know already.
    assert looks[1]["requests"] == pytest.approx(looks[1]["sets"], rel=0.05, abs=4)
    assert looks[1]["commits"] == pytest.approx(looks[1]["sets"], rel=0.05, abs=4)
    assert looks[1]["bytes_in"] == pytest.approx(5 * looks[1]["sets"], rel=0.05, abs=5 * 4)
    assert 0 < looks[1]["p50_ms"] <= looks[1]["p99_ms"]
    assert looks[1]["ready"] is True


def test_looks_of_its_own_are_no_requests_of_others():
    with served(ModelStore()) as url:
        ended = run("top", "--json", "--every", "0.1", "--count", "3", "--url", url)

    assert [json.loads(look)["requests"] for look in ended.out.splitlines()] == [0, 0, 0]


def test_terminal_shows_a_panel_and_a_pipe_gets_lines():
    with served(ModelStore()) as url:
        arguments = ("top", "--every", "0.2", "--count", "2", "--url", url)
        piped, shown = run(*arguments), run_on_terminal(*arguments)

    assert len(piped.text.splitlines()) == 2
    assert "requests/s" in piped.text
    assert "latency" in shown.text
    assert shown.code == 0


def test_nobody_there_is_one_line_and_exit_code_4():
    ended = run("top", "--url", "http://127.0.0.1:1")

    assert ended.code == 4
    assert ended.err.count("\n") == 1
