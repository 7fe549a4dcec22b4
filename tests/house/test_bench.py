"""Test that the benchmarks run, count correctly, and read back what they count."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.costs.feeds import Watchers
from bench.engines import ENGINES, OURS
from bench.engines.checked import puts_that_are_read_back
from bench.errors import LoadFailed, NotMeasurable
from bench.load import generator
from bench.load.answers import answer_size, body_of
from bench.load.beside import figures_beside
from bench.load.dialects import (
    EtcdDialect,
    PathDialect,
    TokenDialect,
    TtlDialect,
    WebdisDialect,
)
from bench.load.generator import Plan
from bench.load.outcome import Outcome, Samples
from bench.load.script import MixScript
from bench.workload import (
    NEW_KEYS_BESIDE_READS,
    READS,
    SOME_WRITES,
    WRITES,
    Mix,
    key_of,
    sample,
    value_of,
)
from tests.support import PATIENCE_S, ROOT
from tests.support.processes.servers import RundletServer

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
        self.answered: Counter[str] = Counter()  # by method; several threads may miscount
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
            self.server.answered[method] += 1


@pytest.fixture
def tiny_server(request: pytest.FixtureRequest) -> Iterator[TinyServer]:
    with TinyServer(forgets=getattr(request, "param", False)) as server:
        yield server
        server.shutdown()
        server.thread.join()


def plan_for(server: TinyServer, mix: Mix, **options) -> Plan:
    script = MixScript(PathDialect(), mix, key_count=50, insert_from=1_000)
    return Plan(server.port, script, clients=4, **{"load_s": PATIENCE_S} | options)


def load(server: TinyServer, mix: Mix, method: str, **options) -> Outcome:
    """Load a server until it has answered some requests of a kind."""
    plan = plan_for(server, mix, **options)
    return generator.run(plan, until=lambda: server.answered[method] > 40)


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
    outcome = load(tiny_server, READS, "GET")

    assert outcome.count == len(outcome.samples["get"].took_s) > 10
    latencies = outcome.samples["get"].percentiles_ms()
    assert 0 < latencies["p50"] <= latencies["p99"] <= latencies["p99.9"]
    assert outcome.acknowledged == {}


def test_load_of_several_processes_is_counted_together(tiny_server):
    outcome = generator.run(plan_for(tiny_server, WRITES, load_s=1, processes=2))

    assert outcome.count > 10
    assert outcome.acknowledged == tiny_server.entries


def test_load_keeps_to_its_rate(tiny_server):
    outcome = generator.run(plan_for(tiny_server, READS, load_s=1, rate_per_s=100))

    assert 2 <= outcome.count <= 104


@pytest.mark.parametrize("mix", [WRITES, SOME_WRITES], ids=lambda mix: mix.name)
def test_acknowledged_writes_are_read_back(tiny_server, mix):
    outcome = load(tiny_server, mix, "PUT")

    count = generator.read_back(tiny_server.port, PathDialect(), outcome.acknowledged)
    assert count == len(outcome.acknowledged) > 0


@pytest.mark.parametrize("tiny_server", [True], indirect=True)
def test_a_server_that_forgets_is_found_out(tiny_server):
    outcome = load(tiny_server, WRITES, "PUT")

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


def test_load_is_dealt_out_to_servers(tiny_server):
    with TinyServer() as other:
        outcome = load(tiny_server, WRITES, "PUT", further_ports=(other.port,))
        other.shutdown()
        other.thread.join()

    assert tiny_server.entries.keys().isdisjoint(other.entries)
    assert tiny_server.entries | other.entries == outcome.acknowledged


def test_outcomes_of_processes_add_up():
    one = Outcome(1.0, {"get": Samples()}, {"a": b"1"})
    other = Outcome(1.0, {"put": Samples()}, {"b": b"2"}, ["bad"])
    other.samples["put"].began_s.append(0.0)
    other.samples["put"].took_s.append(0.5)

    one.add(other)

    assert one.count == 1
    assert one.acknowledged == {"a": b"1", "b": b"2"}
    assert one.failures == ["bad"]


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[RundletServer]:
    options = ("--server", "waitress", "--max-feeds", "3", "--data", tmp_path / "data")
    with RundletServer(*options, stderr_path=tmp_path / "log") as server:
        yield server


def test_watchers_are_counted_until_one_is_refused(small_server):
    port = int(small_server.url.rpartition(":")[2])
    with Watchers(port, "w/") as watchers:
        assert watchers.open(2) == 2
        took_ms = watchers.ms_until_all(
            b"event: put", lambda: small_server.client.put("/v1/kv/w/1", content=b"new")
        )
        assert watchers.open(10) == 1

    assert 0 < took_ms < PATIENCE_S * 1_000


def test_a_feed_that_ends_is_found_out(small_server):
    port = int(small_server.url.rpartition(":")[2])
    with Watchers(port, "w/") as watchers:
        watchers.open(1)

        with pytest.raises(LoadFailed, match="ended"):
            watchers.ms_until_all(b"event: put", small_server.stop)


def skip_without_wrk() -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")


@pytest.mark.parametrize("load_s", [0.9, 1.0], ids=["python", "wrk"])
@pytest.mark.parametrize("tiny_server", [False, True], ids=["keeps", "forgets"], indirect=True)
def test_writes_beside_reads_are_read_back(tiny_server, tmp_path, load_s):
    if load_s >= 1:
        skip_without_wrk()
    script = MixScript(PathDialect(), NEW_KEYS_BESIDE_READS, key_count=50, insert_from=1_000)
    plan = Plan(tiny_server.port, script, clients=2, load_s=load_s)
    if tiny_server.forgets:
        with pytest.raises(LoadFailed, match="lost"):
            figures_beside(plan, script, tmp_path)
    else:
        assert figures_beside(plan, script, tmp_path)["GET/s"] > 0


def test_dialects_add_what_a_question_is_about():
    request = TokenDialect("secret").get("k")

    assert request.startswith(b"GET /v1/kv/k HTTP/1.1\r\nAuthorization: Bearer secret\r\n")
    assert request.endswith(b"\r\n\r\n")
    assert TtlDialect(60).put("k", b"v").startswith(b"PUT /v1/kv/k?ttl=60 HTTP/1.1\r\n")
