"""Test ``/metrics``: its format, its size, and that its figures are correct."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import threading

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.monitoring.measures import request_totals
from rundlet_server.storage import errors
from rundlet_server.storage.care import inspect
from rundlet_server.storage.counting.counters import OperationCounters, SharedCounters
from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.interface import Delete, Limits, Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.settings import StoreSettings
from tests.support import ROOT
from tests.support.models.model import ModelStore
from tests.support.processes.servers import RundletServer, ask_once, wait_for, wait_for_processes
from tests.support.wire.prometheus_text import Family, parse


class BrokenStore(ModelStore):
    """A store whose disk fails whatever is asked."""

    def get(self, *_arguments, **_options):
        raise errors.DiskFull("full")

    get_many = commit = scan = count = stats = compact = get


def metrics_of(api: falcon.testing.TestClient) -> dict[str, Family]:
    return parse(api.simulate_get("/metrics").text)


def test_format_is_strict(api, api_store):
    api.simulate_put("/v1/kv/a", body=b"12345")
    api.simulate_get("/v1/kv/a")
    api.simulate_get("/nowhere")

    found = metrics_of(api)

    assert found["rundlet_keys"].number() == 1
    assert found["rundlet_build_info"].number(backend=api_store.info.backend) == 1
    assert found["rundlet_ready"].number() == 1


@pytest.mark.parametrize(
    "text",
    [
        "rundlet_a 1\n",
        "# HELP rundlet_a It.\n# TYPE rundlet_a counter\nrundlet_a 1\n",
        "# HELP rundlet_a It.\n# TYPE rundlet_a gauge\nrundlet_a 1\nrundlet_a 1\n",
        "# HELP rundlet_a It.\n# TYPE rundlet_a gauge\nrundlet_a one\n",
        "# HELP rundlet_a It.\n# TYPE rundlet_a gauge\nrundlet_b 1\n",
        "# HELP rundlet_a_ms It.\n# TYPE rundlet_a_ms gauge\nrundlet_a_ms 1\n",
        '# HELP rundlet_a It.\n# TYPE rundlet_a histogram\nrundlet_a_bucket{le="1"} 1\n',
        "# HELP rundlet_a It.\n# TYPE rundlet_a gauge\nrundlet_a 1",
    ],
)
def test_reader_of_the_format_refuses_what_is_wrong(text):
    with pytest.raises((AssertionError, ValueError, KeyError)):
        parse(text)


def test_requests_are_counted_by_route_method_and_status(api):
    api.simulate_put("/v1/kv/a", body=b"12345")
    for path in ("/v1/kv/a", "/v1/kv/a", "/v1/kv/none", "/nowhere"):
        api.simulate_get(path)
    api.simulate_patch("/v1/kv/a")

    found = metrics_of(api)["rundlet_http_requests_total"]

    def count(route: str, method: str, status: str) -> float:
        return found.number(route=route, method=method, status=status)

    values = "/v1/kv/{key:path}"
    assert count(values, "PUT", "2xx") == 1
    assert count(values, "GET", "2xx") == 2
    assert count(values, "GET", "4xx") == 1
    assert count(values, "OTHER", "4xx") == 1
    assert count("none", "OTHER", "4xx") == 1


def test_requests_are_timed_by_route_and_method(api):
    api.simulate_put("/v1/kv/a", body=b"12345")
    for path in ("/v1/kv/a", "/v1/kv/none", "/v1/keys"):
        api.simulate_get(path)
        api.simulate_head(path)
    for path in ("/v1/kv/a", "/v1/keys"):
        api.simulate_options(path)
        api.simulate_patch(path)
    api.simulate_get("/nowhere")

    found = metrics_of(api)["rundlet_http_request_duration_seconds"]

    series = {labels: number for (end, labels), number in found.samples.items() if end == "_count"}
    assert {tuple(value for _, value in labels): number for labels, number in series.items()} == {
        ("/v1/keys", "GET"): 2,
        ("/v1/kv/{key:path}", "GET"): 2,
        ("/v1/kv/{key:path}", "HEAD"): 2,
        ("/v1/kv/{key:path}", "PUT"): 1,
        ("none", "OTHER"): 5,
    }


def test_metrics_stay_small_when_every_route_method_and_common_status_was_used():
    counters = OperationCounters()
    whole = falcon.testing.TestClient(create_app(ModelStore(), counters=counters))
    broken = falcon.testing.TestClient(create_app(BrokenStore(), counters=counters))
    templates = whole.simulate_get("/openapi.json").json["paths"]
    paths = [re.sub("{[^}]+}", "YQ", template) for template in templates]
    bodies = {
        "/v1/mget": b'{"keys":["a"]}',
        "/v1/txn": b'{"then":[{"op":"delete","key":"b"}]}',
    }
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    for path, method in itertools.product([*paths, "/nowhere"], methods):
        headers = {"Content-Type": "application/json"}
        for api in (whole, broken):
            api.simulate_request(method, path, body=bodies.get(path, b"1"), headers=headers)
        whole.simulate_put("/v1/kv/YQ", body=b"1")
        whole.simulate_put("/v1/kv64/YQ", body=b"1")
        whole.simulate_request(method, path, headers={"If-None-Match": "*"})
        whole.simulate_request(method, path, query_string="no-such-parameter=1")

    text = whole.simulate_get("/metrics").text

    statuses = parse(text)["rundlet_http_requests_total"].samples
    assert {dict(labels)["status"] for _, labels in statuses} == {"2xx", "3xx", "4xx", "5xx"}
    assert len(text) < 3_600 * len(paths)


def test_durations_are_real_times():
    class SlowStore(ModelStore):
        def get(self, key, *, at=None):
            threading.Event().wait(0.03)
            return super().get(key, at=at)

    api = falcon.testing.TestClient(create_app(SlowStore()))
    api.simulate_get("/v1/kv/a")

    found = metrics_of(api)["rundlet_http_request_duration_seconds"]

    values = {"route": "/v1/kv/{key:path}", "method": "GET"}
    assert 0.03 <= found.number("_sum", **values) < 10
    assert found.number("_bucket", **values, le="0.025") == 0
    assert found.number("_bucket", **values, le="10") == 1


def test_bytes_in_and_out_are_those_of_the_bodies(api):
    api.simulate_put("/v1/kv/a", body=b"12345")
    api.simulate_get("/v1/kv/a")
    api.simulate_get("/v1/kv/a", headers={"Range": "bytes=0-1"})
    api.simulate_head("/v1/kv/a")

    found = metrics_of(api)

    values = {"route": "/v1/kv/{key:path}"}
    assert found["rundlet_http_request_bytes_total"].number(**values, method="PUT") == 5
    assert found["rundlet_http_response_bytes_total"].number(**values, method="GET") == 7
    assert found["rundlet_http_response_bytes_total"].number(**values, method="HEAD") == 0


def test_bytes_that_a_client_only_promises_are_not_counted(api):
    headers = {"Content-Length": str(2**63 - 1)}
    answers = [api.simulate_put("/v1/kv/a", headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [413, 413, 413]
    found = metrics_of(api)["rundlet_http_request_bytes_total"]
    assert found.number(route="/v1/kv/{key:path}", method="PUT") == 0


def test_bytes_of_refused_bodies_count_as_far_as_they_were_read(tmp_path):
    settings = StoreSettings(limits=Limits(value_bytes_max=10))
    with contextlib.closing(open_log_store(tmp_path, settings)) as store:
        api = falcon.testing.TestClient(create_app(store))
        environ = {"wsgi.input_terminated": True}
        answer = api.simulate_put("/v1/kv/a", body=b"12345678901", extras=environ)

        found = metrics_of(api)["rundlet_http_request_bytes_total"]

    assert answer.status_code == 413
    assert found.number(route="/v1/kv/{key:path}", method="PUT") == 11


def test_body_that_is_sent_in_parts_is_counted_as_it_goes():
    counters = OperationCounters()
    app = create_app(ModelStore(), counters=counters)

    class Parts:
        def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
            resp.stream = iter([b"123", b"4567"])

        on_head = on_get

    app.add_route("/readyz", Parts())  # in the place of the resource that is there

    answer = falcon.testing.TestClient(app).simulate_get("/readyz")

    (total,) = request_totals(counters.shared.rows())
    assert answer.content == b"1234567"
    assert (total.route, total.method) == ("/readyz", "GET")
    assert total.bytes_out == 7


def test_failures_are_counted_by_problem():
    class FullStore(ModelStore):
        def commit(self, txn: Txn) -> Commit:
            assert txn.then
            raise errors.DiskFull("full")

    api = falcon.testing.TestClient(create_app(FullStore()))
    api.simulate_put("/v1/kv/a", body=b"1")

    assert metrics_of(api)["rundlet_http_failures_total"].number(problem="disk-full") == 1


def test_work_of_the_store_is_measured(tmp_path):
    shared = SharedCounters()
    store = open_log_store(tmp_path / "data", StoreSettings(measures=Measures(shared)))
    api = falcon.testing.TestClient(create_app(store, counters=OperationCounters(shared)))
    for number in range(5):
        store.commit(Txn([Put(f"key {number % 2}", b"x" * 1_000)]))
    store.commit(Txn([Delete("none")]))  # nothing to write
    store.maintainer.compact(thorough=True)

    found = metrics_of(api)
    store.close()

    assert found["rundlet_commits_total"].number() == 5
    assert found["rundlet_commit_group_size"].number("_count") == 5
    assert found["rundlet_sync_seconds"].number("_count") >= 5
    assert 0 < found["rundlet_sync_seconds"].number("_sum") < 60
    assert 5_000 < found["rundlet_appended_bytes_total"].number() < 6_000
    assert found["rundlet_compaction_seconds"].number("_count") == 1
    assert found["rundlet_compaction_read_bytes_total"].number() > 5_000
    assert found["rundlet_disk_errors_total"].number() == 0
    assert found["rundlet_maintenance_failures_total"].number() == 0
    assert found["rundlet_last_disk_error_timestamp_seconds"].number() == 0
    assert found["rundlet_store_live_bytes"].number() >= 2_000


def test_small_store_without_an_index_has_no_dead_bytes(tmp_path):
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    store.commit(Txn([Put(f"a key that takes its room {number}", b"x") for number in range(3)]))
    gauges = store.gauges()
    store.close()

    assert gauges["dead_bytes"].value == 0
    assert gauges["live_bytes"].value == gauges["log_bytes"].value


def test_bytes_that_were_overwritten_in_the_newest_segment_are_dead(tmp_path):
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    for _ in range(20):
        store.commit(Txn([Put("same", bytes(1_000))]))
    gauges, inspected = store.gauges(), inspect(tmp_path / "data")
    store.close()

    assert 19_000 < gauges["dead_bytes"].value < 21_000
    assert inspected.dead_bytes == gauges["dead_bytes"].value
    assert inspected.live_bytes == gauges["live_bytes"].value


def test_totals_are_of_all_workers_and_of_the_maintenance_process(tmp_path):
    pytest.importorskip("granian")
    arguments = ("--data", tmp_path / "data", "--server", "granian", "--workers", "2")
    with RundletServer(*arguments, "--threads", "4", stderr_path=tmp_path / "stderr") as server:
        for number in range(40):  # each connection may reach the other worker
            url = f"{server.url}/v1/kv/{number}"
            ask_once("PUT", url, content=b"x").raise_for_status()

        wait_for_processes(server, 2)
        found = parse(server.client.get("/metrics").text)

        assert found["rundlet_commits_total"].number() == 40
        requests = found["rundlet_http_request_duration_seconds"]
        assert requests.number("_count", route="/v1/kv/{key:path}", method="PUT") == 40
        assert found["rundlet_processes"].number(role="worker") == 2
        assert found["rundlet_processes"].number(role="maintenance") == 1
        assert found["rundlet_process_resident_memory_bytes"].number(role="worker") > 2**20
        assert found["rundlet_process_open_fds"].number(role="worker") > 4
        assert found["rundlet_disk_free_bytes"].number() > 0

        server.client.post("/v1/admin/compact").raise_for_status()
        wait_for(
            lambda: parse(server.client.get("/metrics").text)["rundlet_compaction_seconds"].number(
                "_count"
            )
        )


def test_metrics_of_a_served_file_have_no_disk(tmp_path):
    path = tmp_path / "words.data"
    path.write_text("a 1\n")
    arguments = ("--read-only", path, "--any-key")
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        found = parse(server.client.get("/metrics").text)

        assert "rundlet_disk_free_bytes" not in found
        assert found["rundlet_keys"].number() == 1
        assert json.loads(server.client.get("/readyz").text)["ready"] is True


def test_page_for_operators_names_every_metric_and_no_other(tmp_path):
    page = (ROOT / "docs/operations.md").read_text()
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        found = parse(server.client.get("/metrics").text)
    samples = {
        f"{name}{ending}"
        for name, family in found.items()
        for ending in (("", "_bucket", "_sum", "_count") if family.kind == "histogram" else ("",))
    }
    named = set(re.findall(r"rundlet_[a-z_]+", page))

    assert named <= samples
    assert set(found) <= named
