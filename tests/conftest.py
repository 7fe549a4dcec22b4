"""Define the fixtures that several test files share."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import hypothesis
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.interface import Limits, Store
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.postgres.store import PostgresStore
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.backends import open_test_etcd
from tests.support.campaign import SEED_VARIABLE, Campaign, Row, summary
from tests.support.models.model import Clock, ModelStore
from tests.support.postgres import postgres_server

SMALL_LIMITS = Limits(
    key_bytes_max=64,
    value_bytes_max=1_000,
    txn_ops_max=10,
    txn_bytes_max=2_000,
    list_keys_max=20,
    answer_bytes_max=1_000,
)


# The routes whose answers depend most on the store; a database makes each test slower.
ON_A_DATABASE = {
    *("test_values.py", "test_conditions.py", "test_lists.py", "test_changes.py"),
    *("test_erase.py", "test_histories.py", "test_moments.py", "test_rollbacks.py"),
    *("test_matching.py", "test_deletions.py"),
}

# A busy machine is no fault: an example may take as long as it needs. The decorators of tests take
# this over when their modules are imported, which is later.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

CAMPAIGNS = pytest.StashKey[list[Campaign]]()
ROWS = pytest.StashKey[list[Row]]()
"""What the campaigns of other processes did, where several run the tests side by side."""


def pytest_sessionstart() -> None:
    """Hear SIGINT, which tests send: a shell has what it starts with ``&`` ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Run one process more than there are cores: tests wait for servers and browsers, too."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist goes by it
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(trylast=True)  # pytest orders the tests by their fixtures before
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes begin with the slow tests: the last ones of a run have few beside them.

    One process does not: what runs until the first failure finds it sooner with the quick ones.
    A campaign ends by its own time.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.timeout(0))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what the campaigns did to the process that prints the summary, if it is another one."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["campaigns"] = [each.row for each in session.config.stash.get(CAMPAIGNS, [])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep what a process that ran tests has sent."""
    rows = getattr(node, "workeroutput", {}).get("campaigns", [])
    node.config.stash.setdefault(ROWS, []).extend(rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the campaigns of this run did."""
    stash = terminalreporter.config.stash
    rows = [each.row for each in stash.get(CAMPAIGNS, [])] + sorted(stash.get(ROWS, []))
    if rows:
        terminalreporter.section("fault campaigns")
        for line in summary(rows):
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Where a campaign fails, tell the seed of its round."""
    try:
        yield
    except BaseException:
        for campaign in item.config.stash.get(CAMPAIGNS, []):
            if campaign.name == campaign_name(item):
                campaign.has_failed = True
                replay = f"{SEED_VARIABLE}={campaign.seed} replays this round"
                item.add_report_section("call", "campaign", replay)
        raise


@pytest.fixture(autouse=True)
def usual_collector() -> Iterator[None]:
    """What opens a store in this process makes garbage collection rare; not so for later tests."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """Seed and time of this test; all campaigns that are to run share the time."""
    campaigns = request.config.stash.setdefault(CAMPAIGNS, [])
    name = campaign_name(request.node)
    is_long = request.node.get_closest_marker("soak") is not None
    begun = next((one for one in campaigns if one.name == name), None)
    if is_long and begun is not None:
        return begun
    long = {campaign_name(i) for i in request.session.items if i.get_closest_marker("soak")}
    report = functools.partial(report_now, request.config) if is_long else None
    campaigns.append(Campaign(name, max(1, len(long)), report))
    return campaigns[-1]


def campaign_name(item: pytest.Item) -> str:
    """Return the campaign that a test is, or that it is a part of."""
    marker = item.get_closest_marker("soak")
    return marker.kwargs.get("campaign", item.name) if marker else item.name


def report_now(config: pytest.Config, line: str) -> None:
    """Print a line at once, although pytest captures the output of tests."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if config.get_terminal_writer().width_of_current_line:
            reporter.write_line("")
        reporter.write_line(line)
        reporter.flush()


@pytest.fixture
def clock() -> Clock:
    """A clock that tests move by hand; the stores of the fixtures below go by it."""
    return Clock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses ``api_store`` on each kind of store, if it does not say on which."""
    named = (mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "api_store" in metafunc.fixturenames and "api_store" not in named:
        name = metafunc.definition.path.name
        kinds = ["model", "log", *(["etcd", "postgresql"] if name in ON_A_DATABASE else [])]
        metafunc.parametrize("api_store", kinds, indirect=True)


@pytest.fixture
def api_store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Store]:
    """An empty store with small limits, of each kind."""
    store: Store
    settings = StoreSettings(sync="never", limits=SMALL_LIMITS, clock=clock)
    match request.param:
        case "model":
            store = ModelStore(clock, SMALL_LIMITS)
        case "log":
            store = open_log_store(tmp_path / "data", settings)
        case "etcd":
            store = open_test_etcd(tmp_path, settings)
        case _:
            address = StoreAddress.parse(postgres_server().url())
            store = PostgresStore(address, settings, is_tended=False)
    yield store
    store.close()


@pytest.fixture
def api_counters() -> OperationCounters:
    return OperationCounters()


@pytest.fixture
def api(
    api_store: Store, api_counters: OperationCounters, tmp_path: Path
) -> falcon.testing.TestClient:
    """The functions over ``api_store``, called without a server."""
    kept = TokenFile(tmp_path / "tokens")
    app = create_app(api_store, ServerSettings(), api_counters, token_store=kept)
    return falcon.testing.TestClient(app)
