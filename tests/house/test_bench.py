"""Test that the benchmarks run, count correctly, and read back what they count."""

from __future__ import annotations

import contextlib
import importlib
import json
import socketserver
import threading
from collections.abc import Iterator

import pytest

from bench import report
from bench.charts import Line, bar_chart, line_chart, number
from bench.engines import ENGINES, OURS
from bench.engines.checked import puts_that_are_read_back
from bench.errors import LoadFailed, NotMeasurable
from bench.load import generator
from bench.load.answers import answer_size, body_of
from bench.load.dialects import EtcdDialect, PathDialect, WebdisDialect
from bench.load.generator import Plan
from bench.load.outcome import Outcome, Samples
from bench.load.script import MixScript
from bench.publish import publish
from bench.results import Case, Results
from bench.scale import CORES
from bench.targets import judge
from bench.workload import READS, SOME_WRITES, WRITES, Mix, key_of, sample, value_of
from tests.support import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "bench").rglob("*.py")
    if path.name != "__init__.py"
)
OTHERS_PACKAGES = {
    *("fastapi", "uvicorn", "flask", "redis", "nats"),
    *("lmdb", "rocksdict", "diskcache", "sqlitedict"),
}


class TinyServer(socketserver.ThreadingTCPServer):
    """A dict over HTTP, without anything that HTTP also has; may forget what it is told."""

    daemon_threads = True

    def __init__(self, *, forgets: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _TinyHandler)
        self.forgets = forgets
        self.entries: dict[str, bytes] = {}
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _TinyHandler(socketserver.StreamRequestHandler):
    server: TinyServer

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a load ends without waiting for answers
            self._answer_all()

    def _answer_all(self) -> None:
        while head := self.rfile.readline():
            method, path, _ = head.decode().split()
            size = 0
            while (line := self.rfile.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            key, body = path.removeprefix("/v1/kv/"), self.rfile.read(size)
            if method == "PUT":
                if not self.server.forgets:
                    self.server.entries[key] = body
                self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                value = self.server.entries.get(key, b"none")
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(value)
                self.wfile.write(head + value)


@pytest.fixture
def tiny_server(request: pytest.FixtureRequest) -> Iterator[TinyServer]:
    with TinyServer(forgets=getattr(request, "param", False)) as server:
        yield server
        server.shutdown()
        server.thread.join()


def plan_for(server: TinyServer, mix: Mix, **options) -> Plan:
    script = MixScript(PathDialect(), mix, key_count=50, insert_from=1_000)
    return Plan(server.port, script, clients=4, load_s=0.2, **options)


@pytest.mark.parametrize("module", MODULES)
def test_module_imports(module):
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as ex:
        if ex.name not in OTHERS_PACKAGES:
            raise
        pytest.skip(f"{ex.name} is not installed")


def test_keys_are_uuids_and_differ():
    keys = {key_of(position) for position in range(1_000)}

    assert len(keys) == 1_000
    assert all(len(key) == 36 and key[14] == "4" and key[19] in "89ab" for key in keys)


@pytest.mark.parametrize("size", [0, 16, 100, 10_240])
def test_values_have_the_size_asked_for(size):
    assert len(value_of(7, size)) == size
    assert b"\n" not in value_of(7, size)


def test_zipf_prefers_few_keys_wherever_they_lie():
    numbers = sample("zipf", 1_000, 10_000, seed=1)
    counts = sorted((numbers.count(found) for found in set(numbers)), reverse=True)

    assert all(0 <= found < 1_000 for found in numbers)
    assert sum(counts[:100]) > 5_000


def test_answers_are_found_whole_or_not_at_all():
    sized = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"

    assert answer_size(sized) == len(sized)
    assert answer_size(sized[:20]) is None
    assert answer_size(chunked) == len(chunked)
    assert answer_size(chunked[:-3]) is None
    assert body_of(sized) == body_of(chunked) == b"abc"


def test_dialects_make_whole_requests():
    assert PathDialect().put("k", b"v").endswith(b"Content-Length: 1\r\n\r\nv")
    assert WebdisDialect().get("k").startswith(b"GET /GET/k.txt ")
    assert EtcdDialect().value_in(b'{"kvs": [{"value": "dg=="}]}') == b"v"
    assert EtcdDialect().value_in(b"{}") == b""


def test_load_counts_what_was_answered(tiny_server):
    outcome = generator.run(plan_for(tiny_server, READS))

    assert outcome.count == len(outcome.samples["get"].took_s) > 10
    latencies = outcome.samples["get"].percentiles_ms()
    assert 0 < latencies["p50"] <= latencies["p99"] <= latencies["p99.9"]
    assert outcome.acknowledged == {}


def test_load_of_several_processes_is_counted_together(tiny_server):
    outcome = generator.run(plan_for(tiny_server, WRITES, processes=2))

    assert outcome.count > 10
    assert outcome.acknowledged == tiny_server.entries


def test_load_keeps_to_its_rate(tiny_server):
    outcome = generator.run(plan_for(tiny_server, READS, rate_per_s=100))

    assert 2 <= outcome.count <= 24


@pytest.mark.parametrize("mix", [WRITES, SOME_WRITES], ids=lambda mix: mix.name)
def test_acknowledged_writes_are_read_back(tiny_server, mix):
    outcome = generator.run(plan_for(tiny_server, mix))

    count = generator.read_back(tiny_server.port, PathDialect(), outcome.acknowledged)
    assert count == len(outcome.acknowledged) > 0


@pytest.mark.parametrize("tiny_server", [True], indirect=True)
def test_a_server_that_forgets_is_found_out(tiny_server):
    outcome = generator.run(plan_for(tiny_server, WRITES))

    with pytest.raises(LoadFailed, match="is lost"):
        generator.read_back(tiny_server.port, PathDialect(), outcome.acknowledged)


def test_every_key_has_one_writer():
    script = MixScript(PathDialect(), Mix("updates", update=1.0), key_count=50, insert_from=0)
    written = [
        {next(requests).key for _ in range(100)}
        for requests in (script.requests(client, 4) for client in range(4))
    ]

    assert sum(map(len, written)) == len(set().union(*written))


def test_latencies_of_a_span_of_time_only():
    samples = Samples()
    samples.began_s.extend([1.0, 2.0, 3.0])
    samples.took_s.extend([0.1, 0.2, 0.3])

    assert samples.percentiles_ms((1.5, 2.5))["p50"] == pytest.approx(200)
    assert samples.percentiles_ms((9.0, 9.5)) == {}


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if kind.policies], ids=lambda k: k.name)
def test_engine_keeps_what_is_put(kind, tmp_path):
    try:
        engine = kind.open(tmp_path / "data", kind.policies[-1])
    except NotMeasurable as ex:
        pytest.skip(str(ex))

    with puts_that_are_read_back(engine) as puts:
        puts.prepare(10)
        puts.one_by_one()
        puts.prepare(10)
        puts.all_at_once()


def test_an_engine_that_loses_a_put_is_found_out(tmp_path):
    engine = OURS.open(tmp_path / "data", "never")

    with pytest.raises(LoadFailed), puts_that_are_read_back(engine) as puts:
        puts.prepare(3)


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


def test_load_is_dealt_out_to_servers(tiny_server):
    with TinyServer() as other:
        outcome = generator.run(plan_for(tiny_server, WRITES, further_ports=(other.port,)))
        other.shutdown()
        other.thread.join()

    assert tiny_server.entries.keys().isdisjoint(other.entries)
    assert tiny_server.entries | other.entries == outcome.acknowledged


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
    (target / "numbers.md").write_text("written by hand")
    (target / "stale.svg").write_text("of an earlier report")

    assert publish(source, target)
    assert (target / "numbers.md").exists()
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


def test_outcomes_of_processes_add_up():
    one = Outcome(1.0, {"get": Samples()}, {"a": b"1"})
    other = Outcome(1.0, {"put": Samples()}, {"b": b"2"}, ["bad"])
    other.samples["put"].began_s.append(0.0)
    other.samples["put"].took_s.append(0.5)

    one.add(other)

    assert one.count == 1
    assert one.acknowledged == {"a": b"1", "b": b"2"}
    assert one.failures == ["bad"]
