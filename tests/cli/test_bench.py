"""Test ``rundlet bench``: what it measures and shows, and that it leaves no keys behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.cli.bench.clients import Extent, Workload, measure
from rundlet_server.cli.bench.histogram import LatencyHistogram
from rundlet_server.cli.bench.keys import stored_keys
from rundlet_server.cli.bench.mix import MIXES, Distribution, KeySpace, Mix, MixName, Operation
from rundlet_server.cli.exits import CommandError
from rundlet_server.cli.place.store import Purpose, open_store_target
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S
from tests.support.processes.command_line import Ended, Place, run, run_on_terminal, run_process
from tests.support.processes.servers import RundletServer, wait_for

SMALL = ("--keys", "50", "--clients", "3", "--operations", "300")
PREFIX = "rundlet-bench/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("server")
    arguments = ("--data", folder / "data", "--sync", "never")
    with RundletServer(*arguments, stderr_path=folder / "stderr") as server:
        yield server


@pytest.fixture(params=["server", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "server":
        return Place(("--url", request.getfixturevalue("server").url))
    return Place(("--data", str(tmp_path / "store")))


def operations_of(ended: Ended) -> dict[str, dict[str, float]]:
    assert ended.code == 0, ended.err
    return {each["operation"]: each for each in json.loads(ended.out)["operations"]}


def bench_keys_on(url: str) -> list[str]:
    return run("ls", PREFIX, "--url", url).text.splitlines()


def gets_of(server: RundletServer) -> int:
    return server.client.get("/v1/stats").json()["operations"]["get"]


# --- figures -------------------------------------------------------------------------------


def test_every_operation_is_counted_and_its_percentiles_rise(place):
    operations = operations_of(place.run("bench", *SMALL, "--mix", "a", "--json"))

    assert operations.keys() == {"read", "write", "all"}
    assert operations["read"]["count"] + operations["write"]["count"] == 300
    assert operations["all"]["count"] == 300  # the warm-up is not among them
    for figures in operations.values():
        names = ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")
        latencies = [figures[name] for name in names]
        assert figures["errors"] == 0
        assert figures["per_s"] > 0
        assert latencies[0] > 0
        assert latencies == sorted(latencies)


def test_same_options_do_the_same_operations(tmp_path):
    counts = [
        {
            name: figures["count"]
            for name, figures in operations_of(
                run("bench", *SMALL, "--data", str(tmp_path), "--json")
            ).items()
        }
        for _ in range(2)
    ]

    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--mix", "read"), {"read"}),
        (("--mix", "write"), {"write"}),
        (("--mix", "c"), {"read"}),
        (("--mix", "d"), {"read", "insert", "all"}),
        (("--mix", "f", "--distribution", "uniform"), {"read", "modify", "all"}),
        (("--reads", "95"), {"read", "write", "all"}),
        (("--reads", "100", "--value-size", "0"), {"read"}),
    ],
)
def test_mix_says_which_operations(options, expected, tmp_path):
    ended = run("bench", *SMALL, *options, "--data", str(tmp_path), "--json")

    assert operations_of(ended).keys() == expected


def test_duration_ends_the_run(tmp_path):
    ended = run("bench", "--duration", "100ms", "--keys", "9", "--data", str(tmp_path), "--json")

    assert operations_of(ended)["all"]["count"] > 0
    assert 0.1 <= json.loads(ended.out)["elapsed_s"] < 5


def test_large_values_are_loaded_one_by_one(tmp_path):
    size = str(5 * 1024 * 1024)

    ended = run(
        "bench", "--value-size", size, "--keys", "2", "--clients", "1", "--operations", "2",
        "--data", str(tmp_path), "--json",
    )  # fmt: skip

    assert operations_of(ended).keys() == {"read", "write", "all"}


# --- what is shown -------------------------------------------------------------------------


def test_report_says_what_was_measured_in_plain_text(server):
    ended = run("bench", *SMALL, "--url", server.url)

    first, second = ended.text.splitlines()[:2]
    assert ended.code == 0
    assert re.fullmatch(rf"{server.url} \(Rundlet \S+, log, sync .+\), from .+", first)
    assert second.startswith("3 clients, 80 % read, 20 % write, 50 keys uniform, values of 100 b")
    assert "p99.9" in ended.text
    assert " │█" in ended.text
    assert "the Python clients" in ended.text
    assert "\x1b" not in ended.text
    assert max(map(len, ended.text.splitlines()[2:-1])) <= 80
    assert ended.err == ""


@pytest.mark.parametrize("columns", [60, 79, 80, 120])
def test_table_has_every_figure_at_any_width(tmp_path, columns):
    arguments = ("bench", *SMALL, "--data", str(tmp_path))
    lines = run_process(*arguments, COLUMNS=str(columns)).text.splitlines()[2:-1]
    words = {word for line in lines for word in line.split()}

    titles = {"operation", "count", "per", "p50", "p90", "p99", "p99.9", "max", "errors"}
    assert titles | {"read", "write", "all"} <= words
    assert max(map(len, lines)) <= columns


def test_narrow_terminal_gets_whole_words(tmp_path):
    ended = run_on_terminal("bench", *SMALL, "--data", str(tmp_path), COLUMNS="60", TERM="xterm")

    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", ended.text)
    shown = plain[plain.rindex("operation  ") :]
    note = " ".join(shown[shown.index("Note: ") :].split())
    assert max(map(len, shown.splitlines())) <= 60
    assert "clients and store shared this one Python process" in note


def test_terminal_shows_colours(tmp_path):
    ended = run_on_terminal("bench", *SMALL, "--data", str(tmp_path))

    assert ended.code == 0
    assert "\x1b[" in ended.text
    assert "█" in ended.text


def test_picture_is_wellformed_and_has_a_line_per_operation(tmp_path):
    picture = tmp_path / "latency.svg"

    ended = run("bench", *SMALL, "--data", str(tmp_path / "store <&>"), "--svg", str(picture))

    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert ended.code == 0
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert {"read", "write", "p50", "p99.9"} <= set(texts)
    assert any("store <&>" in text for text in texts)


# --- nothing left behind -------------------------------------------------------------------


def test_own_keys_are_removed_and_no_other_is_touched(place):
    place.run("set", "mine", "kept")
    place.run("set", f"{PREFIX}of-somebody-else", "kept too")
    before = place.run("ls", "--json").out

    ended = place.run("bench", *SMALL, "--mix", "d")

    assert ended.code == 0
    assert place.run("ls", "--json").out == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_own_keys_are_removed_when_it_is_interrupted(number, server):
    run("del", f"{PREFIX}of-somebody-else", "--url", server.url)
    command = [sys.executable, "-m", "rundlet_server", "bench", "--url", server.url]
    with subprocess.Popen(
        [*command, "--duration", "1m", "--keys", "200"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            wait_for(lambda: len(bench_keys_on(server.url)) >= 200)
            os.kill(process.pid, number)
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()

    assert process.returncode != 0
    assert bench_keys_on(server.url) == []
    assert out == b""
    assert b"Traceback" not in err


def test_no_client_works_after_an_interrupt_while_clients_start(tmp_path, monkeypatch):
    target = open_store_target(StoreAddress.of_folder(tmp_path), Purpose.WRITE)
    keys = KeySpace(f"{PREFIX}test/", 5, Distribution.UNIFORM)
    workload = Workload(Mix("writes", write=1), keys, 10)
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        if len(started) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        measure([target] * 4, workload, Extent(operations=1_000), seed="")

    assert len(started) == 3
    assert not any(thread.is_alive() for thread in started)
    assert list(target.scan()) == []
    target.close()


# --- errors --------------------------------------------------------------------------------


def test_server_that_goes_away_is_told_with_what_was_measured_and_what_is_left(tmp_path):
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        command = [sys.executable, "-m", "rundlet_server", "bench", "--url", server.url]
        with subprocess.Popen(
            [*command, "--duration", "1m", "--keys", "20", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                wait_for(lambda: gets_of(server) > 10)  # the load is over
                server.process.kill()
                out, err = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()

    assert process.returncode == 4
    assert json.loads(out)["errors"] > 0
    assert err.count(b"\n") == 1
    assert b"are left; remove them: rundlet ls rundlet-bench/" in err


def test_first_write_that_is_refused_leaves_nothing_and_is_told_in_one_piece_of_advice(tmp_path):
    data = tmp_path / "data"
    _, reader = TokenFile(data).add("reader", "read")
    with RundletServer("--data", data, stderr_path=tmp_path / "stderr") as server:
        ended = run("bench", *SMALL, "--url", server.url, "--token", reader)

    assert ended.code == 6
    assert ended.err == (
        "rundlet: this request needs a token of scope 'write', and this token has scope 'read';"
        " give another token with --token or RUNDLET_TOKEN\n"
    )


def test_keys_that_cannot_be_removed_are_told(tmp_path, monkeypatch):
    target = open_store_target(StoreAddress.of_folder(tmp_path), Purpose.WRITE)
    monkeypatch.setattr(target, "scan", lambda **_: 1 / 0)
    keys = KeySpace(f"{PREFIX}test/", 5, Distribution.UNIFORM)

    with pytest.raises(CommandError, match=r"keys under .* are left"), stored_keys(target, keys, 1):
        pass
    target.close()


def test_failed_operations_are_counted(tmp_path):
    target = open_store_target(StoreAddress.of_folder(tmp_path), Purpose.WRITE)
    keys = KeySpace(f"{PREFIX}test/", 5, Distribution.UNIFORM)  # never stored

    outcome = measure(
        [target], Workload(MIXES[MixName.READ], keys, 10), Extent(operations=3), seed=""
    )
    target.close()

    assert outcome.errors == {Operation.READ: 3}
    assert outcome.histograms[Operation.READ].count == 0
    assert "is not as this benchmark wrote it" in str(outcome.first_error)


def test_read_only_server_is_refused_with_the_reason(tmp_path):
    file = tmp_path / "words.txt"
    file.write_bytes(b"cask full\n")
    arguments = ("--read-only", "--any-key", file)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        ended = run("bench", *SMALL, "--mix", "read", "--url", server.url)

    assert ended.code == 4
    assert "read-only: bench writes keys of its own even to measure reads" in ended.err
    assert ended.err.count("\n") == 1


def test_unreachable_server_is_exit_code_4():
    ended = run("bench", "--url", "http://127.0.0.1:1")

    assert ended.code == 4
    assert "is the server running?" in ended.err


@pytest.mark.parametrize(
    "options",
    [
        ("--mix", "e"),
        ("--mix", "a", "--reads", "50"),
        ("--reads", "101"),
        ("--duration", "0s"),
        ("--duration", "soon"),
        ("--duration", "1s", "--operations", "5"),
        ("--clients", "0"),
        ("--svg", "/no/such/folder/latency.svg"),
    ],
)
def test_options_that_cannot_be_are_exit_code_2_before_anything_is_written(options, tmp_path):
    store = tmp_path / "store"

    ended = run("bench", *options, "--data", str(store))

    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert not store.exists()


# --- parts ---------------------------------------------------------------------------------


def test_quantiles_are_within_a_hundred_and_twenty_eighth():
    dice = random.Random(7)
    latencies = sorted(int(10 ** dice.uniform(0, 10)) for _ in range(5_000))
    halves = LatencyHistogram(), LatencyHistogram()
    for position, latency in enumerate(latencies):
        halves[position % 2].add(latency)
    histogram = halves[0]
    histogram.merge(halves[1])

    for share in (0.0001, 0.5, 0.9, 0.99, 0.999, 1.0):
        true = latencies[max(0, round(share * len(latencies)) - 1)]
        assert true <= histogram.quantile_ns(share) <= true * (1 + 1 / 128)
    assert histogram.max_ns == latencies[-1]
    assert histogram.mean_ns == pytest.approx(sum(latencies) / len(latencies))


def test_histogram_of_nothing_is_zero():
    histogram = LatencyHistogram()

    assert (histogram.quantile_ns(0.5), histogram.mean_ns, histogram.max_ns) == (0, 0.0, 0)


def test_counts_up_to_edges_add_up():
    histogram = LatencyHistogram()
    for latency in (5, 90, 100, 101, 5_000):
        histogram.add(latency)

    assert histogram.counts_up_to([100, 1_000, 10_000]) == [3, 1, 1]
    assert histogram.counts_up_to([50]) == [1]


def test_zipf_has_few_popular_keys_and_latest_has_the_new_ones():
    dice = random.Random(3)
    zipf = KeySpace("p/", 1_000, Distribution.ZIPF)
    latest = KeySpace("p/", 1_000, Distribution.LATEST)
    newest = latest.new()
    latest.add(newest)

    for keys in (zipf, latest):
        chosen = Counter(keys.chosen(dice) for _ in range(10_000))
        assert chosen.most_common(1)[0][1] > 1_000
        assert set(chosen) <= set(keys)
    assert chosen.most_common(1)[0][0] == newest


def test_every_mix_adds_up_to_all():
    for mix in (*MIXES.values(), Mix("own", write=0.05)):
        assert sum(mix.shares.values()) == pytest.approx(1)
