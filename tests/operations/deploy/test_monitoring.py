"""Test the scrape sample, the rules, the alerts and the dashboard of ``deploy/``."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S, ROOT
from tests.support.configurations import adapted
from tests.support.processes.servers import RundletServer, ServerProcess, free_port, wait_for
from tests.support.programs import program
from tests.support.wire.prometheus_text import Family, parse

FOLDER = ROOT / "deploy/prometheus"
RULE_FILES = ["recording.yml", "alerts.yml"]
ENDINGS = {"histogram": ("_bucket", "_sum", "_count")}
SERVER = 'job="rundlet",instance="a:8000"'


class Case(NamedTuple):
    """Series of one alert, a minute when it is silent, and one when it fires."""

    series: dict[str, str]
    silent: int
    firing: int
    labels: str = SERVER


CASES = {
    "RundletDown": Case({f"up{{{SERVER}}}": "1x4 0x9"}, 6, 7),
    "RundletNotReady": Case({f"rundlet_ready{{{SERVER}}}": "1x4 0 1x4 0x9"}, 12, 13),
    "RundletDamaged": Case(
        {f'rundlet_http_failures_total{{{SERVER},problem="damaged"}}': "_x3 1x90"},
        2,
        5,
        f'{SERVER},problem="damaged"',
    ),
    "RundletDiskFullSoon": Case(
        {f"rundlet_disk_free_bytes{{{SERVER}}}": "100000000000x120 100000000000-100000000x400"},
        120,
        400,
    ),
    "RundletFailures": Case(
        {
            f'rundlet_http_requests_total{{{SERVER},status="2xx"}}': "0+6000x60",
            f'rundlet_http_failures_total{{{SERVER},problem="unavailable"}}': "0x20 0+100x40",
        },
        20,
        40,
        'job="rundlet"',
    ),
    "RundletReadsSlow": Case(
        {
            f'rundlet_http_request_duration_seconds_bucket{{{SERVER},{kind},le="{le}"}}': values
            for kind in ['route="/v1/kv/{key:path}",method="GET"']
            for le, values in {
                "0.025": "0+100x20 2000+90x40",
                "0.1": "0+100x60",
                "+Inf": "0+100x60",
            }.items()
        },
        20,
        40,
        'job="rundlet",route="/v1/kv/{key:path}",method="GET"',
    ),
    "RundletSyncsSlow": Case(
        {
            f'rundlet_sync_seconds_bucket{{{SERVER},le="0.1"}}': "0+100x20 2000+90x40",
            f'rundlet_sync_seconds_bucket{{{SERVER},le="1"}}': "0+100x60",
            f'rundlet_sync_seconds_bucket{{{SERVER},le="+Inf"}}': "0+100x60",
        },
        20,
        40,
    ),
    "RundletDiskErrors": Case({f"rundlet_disk_errors_total{{{SERVER}}}": "0x10 1x20"}, 10, 12),
    "RundletMaintenanceFails": Case(
        {f"rundlet_maintenance_failures_total{{{SERVER}}}": "0x10 1x20"}, 10, 12
    ),
    "RundletMaintenanceBehind": Case(
        {f"rundlet_store_unindexed_segments{{{SERVER}}}": "4x20 5x20"}, 30, 31
    ),
    "RundletProcessHung": Case(
        {f'rundlet_processes_hung{{{SERVER},role="worker"}}': "0x3 1 0 1x9"},
        6,
        8,
        f'{SERVER},role="worker"',
    ),
    "RundletDeadBytes": Case(
        {
            f"rundlet_store_dead_bytes{{{SERVER}}}": "6000000000x10 8000000000x100",
            f"rundlet_store_log_bytes{{{SERVER}}}": "10000000000x110",
        },
        60,
        90,
    ),
    "RundletAuditNotInFile": Case({f"rundlet_audit_failures_total{{{SERVER}}}": "0x5 3x9"}, 5, 7),
    "RundletClockAhead": Case({f"rundlet_clock_ahead_seconds{{{SERVER}}}": "60x3 61x3"}, 3, 4),
    "RundletTokensGuessed": Case(
        {f'rundlet_refused_total{{{SERVER},reason="unknown"}}': "0+9x20 180+20x20"},
        19,
        39,
        f'{SERVER},reason="unknown"',
    ),
}


def rules_of(name: str) -> list[dict]:
    groups = yaml.safe_load((FOLDER / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules_of("alerts.yml")}
RECORDED = {rule["record"]: rule for rule in rules_of("recording.yml")}
DASHBOARD = json.loads((ROOT / "deploy/grafana/rundlet.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def dashboard_expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


EXPRESSIONS = [
    *(rule["expr"] for rule in (*ALERTS.values(), *RECORDED.values())),
    *dashboard_expressions(),
]


def promtool(*arguments: str | Path) -> None:
    command = [program("promtool"), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("server")
    with RundletServer("--data", folder / "data", stderr_path=folder / "stderr") as server:
        yield server


@pytest.fixture(scope="module")
def metrics(server: RundletServer) -> dict[str, Family]:
    server.client.put("/v1/kv/a", content=b"1")
    server.client.get("/v1/kv/a")
    return parse(server.client.get("/metrics").text)


def samples_of(metrics: dict[str, Family]) -> set[str]:
    return {
        f"{name}{ending}"
        for name, family in metrics.items()
        for ending in ENDINGS.get(family.kind, ("",))
    }


def test_rules_and_alerts_name_only_metrics_that_a_server_has(metrics):
    known = samples_of(metrics) | set(RECORDED)

    for expression in EXPRESSIONS:
        named = set(re.findall(r"[a-z_]*:?rundlet_[a-z_]+(?::\w+)?", expression))
        assert named <= known | {"up"}, expression
        assert named or "up{" in expression


def test_labels_in_expressions_are_those_of_the_metrics(metrics):
    has = {
        name for family in metrics.values() for _, labels in family.samples for name, _ in labels
    }
    # Failures and hung processes have no sample in a healthy server; Prometheus adds two labels.
    known = has | {"problem", "job", "instance"}

    for expression in EXPRESSIONS:
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        matched = re.findall(r"(\w+)\s*=~?\s*\"", expression)
        assert {name.strip() for names in grouped for name in names.split(",")} <= known, expression
        assert set(matched) <= known, expression


def test_route_of_the_alert_on_slow_reads_is_the_one_that_is_measured(metrics):
    [route] = re.findall(r'route="([^"]*)"', ALERTS["RundletReadsSlow"]["expr"])

    durations = metrics["rundlet_http_request_duration_seconds"]
    assert durations.number("_count", route=route, method="GET") == 1


def test_every_alert_has_a_case():
    assert set(CASES) == set(ALERTS)


def as_mapping(labels: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', labels))


@pytest.mark.parametrize("name", CASES)
def test_alert_fires_when_it_should_and_not_before(tmp_path, name):
    case, rule = CASES[name], ALERTS[name]
    firing = {
        "exp_labels": rule["labels"] | as_mapping(case.labels),
        "exp_annotations": rule["annotations"],
    }
    series = [
        {"series": name, "values": re.sub(r"(?<!\S)(\d+)x", r"\1+0x", values)}
        for name, values in case.series.items()
    ]
    checks = [
        {"eval_time": f"{case.silent}m", "alertname": name, "exp_alerts": []},
        {"eval_time": f"{case.firing}m", "alertname": name, "exp_alerts": [firing]},
    ]
    tests = [{"interval": "1m", "input_series": series, "alert_rule_test": checks}]
    files = [str(FOLDER / file) for file in RULE_FILES]
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": files, "tests": tests}))

    promtool("test", "rules", path)


def test_recorded_latency_is_that_of_all_servers_together(tmp_path):
    name = "job_route_method:rundlet_http_request_duration_seconds:p99_rate5m"
    kind = 'job="rundlet",route="/v1",method="GET"'
    bucket = "rundlet_http_request_duration_seconds_bucket"
    series = [
        {"series": f'{bucket}{{{kind},instance="{instance}",le="{le}"}}', "values": values}
        for instance, quick in (("a", "0+100x20"), ("b", "0+0x20"))
        for le, values in (("0.1", quick), ("0.2", "0+100x20"), ("+Inf", "0+100x20"))
    ]
    expected = [{"labels": f"{{{kind}}}", "value": 0.198}]
    checks = [{"expr": f"round({name}, 0.001)", "eval_time": "10m", "exp_samples": expected}]
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": checks}]
    files = [str(FOLDER / "recording.yml")]
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": files, "tests": tests}))

    promtool("test", "rules", path)


@pytest.mark.parametrize("name", RULE_FILES)
def test_rules_pass_the_checker(name):
    promtool("check", "rules", FOLDER / name)


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ALERTS)
def test_alert_leads_to_a_section_of_the_documentation(name):
    page, _, anchor = ALERTS[name]["annotations"]["runbook"].partition("#")

    assert anchor in anchors_of(ROOT / page)


def test_expressions_of_the_dashboard_are_valid(tmp_path):
    rules = []
    for number, expression in enumerate(dashboard_expressions()):
        inner = re.sub(r"^label_values\((.*), \w+\)$", r"\1", expression)
        inner = inner.replace("$__rate_interval", "5m").replace("$__interval", "1m")
        rules.append({"record": f"dashboard:{number}", "expr": inner.replace("$", "")})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "rules", path)


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    cells: set[tuple[int, int]] = set()

    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not own & cells, panel["title"]
        cells |= own


def test_dashboard_belongs_to_no_installation_of_grafana():
    used = set(re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD)))
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}

    assert "id" not in DASHBOARD  # of one installation; uid is what stays when it is imported
    assert used == {DASHBOARD["uid"], "${datasource}"}
    assert variables == {"datasource", "job", "instance"}


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[httpx.Client]:
    """Run Prometheus with the configuration in a folder."""
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/series",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        ServerProcess(command, stderr_path=folder / "prometheus-stderr") as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as api,
    ):
        wait_for(lambda: "ready to receive web requests" in process.stderr)
        yield api


def query(api: httpx.Client, expression: str) -> list[str]:
    answer = api.get("/api/v1/query", params={"query": expression}).json()
    return [sample["value"][1] for sample in answer["data"]["result"]]


def test_prometheus_reads_a_server_with_a_token_and_loads_the_rules(tmp_path):
    _, secret = TokenFile(tmp_path / "data").add("prometheus", "read")
    (tmp_path / "token").write_text(secret)
    for name in RULE_FILES:
        shutil.copy(FOLDER / name, tmp_path)
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        sample = adapted(
            (FOLDER / "prometheus.yml").read_text(),
            {
                "127.0.0.1:8000": server.url.removeprefix("http://"),
                "/etc/prometheus/rundlet.token": str(tmp_path / "token"),
                "scrape_interval: 15s": "scrape_interval: 1s",
            },
        )
        (tmp_path / "prometheus.yml").write_text(sample)
        promtool("check", "config", tmp_path / "prometheus.yml")

        with prometheus(tmp_path) as api:
            wait_for(lambda: query(api, 'rundlet_ready{job="rundlet"}') == ["1"])
            groups = api.get("/api/v1/rules").json()["data"]["groups"]

    assert sum(len(group["rules"]) for group in groups) == len(ALERTS) + len(RECORDED)
