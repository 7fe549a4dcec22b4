"""Test that a store says when its time is far ahead of the clock, and that there is a way out."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer, wait_for
from tests.support.wire.prometheus_text import parse

TEN_YEARS_S = 10 * 365 * 86_400
EPOCH = datetime.fromtimestamp(0, UTC)


def written_ten_years_ahead(folder: Path) -> None:
    """Make a store that one process wrote to with its clock ten years ahead, then others."""
    ahead = StoreSettings(clock=lambda: system_clock_us() + TEN_YEARS_S * 1_000_000)
    for settings in (ahead, StoreSettings()):
        store = open_log_store(folder, settings)
        store.commit(Txn([Put("session", b"s", ttl_s=60), Put("kept", b"k")]))
        store.close()


def served(place: Path) -> RundletServer:
    return RundletServer("--data", place / "data", stderr_path=place / "stderr")


def test_time_far_ahead_is_a_warning_a_metric_and_a_line(tmp_path, caplog):
    written_ten_years_ahead(tmp_path / "data")

    with caplog.at_level(logging.WARNING, "rundlet.store"):
        store = open_log_store(tmp_path / "data")
        wait_for(lambda: caplog.messages)
    api = falcon.testing.TestClient(create_app(store))
    ready = api.simulate_get("/readyz")
    metrics = parse(api.simulate_get("/metrics").text)
    store.close()

    assert ready.status_code == 200
    assert "no key expires" in ready.json["warnings"][0]
    assert caplog.messages[0].startswith("the store's time is 3153")
    assert TEN_YEARS_S - 600 < metrics["rundlet_clock_ahead_seconds"].number() <= TEN_YEARS_S


def test_small_correction_of_a_clock_is_no_warning(tmp_path):
    ahead = StoreSettings(clock=lambda: system_clock_us() + 10_000_000)
    store = open_log_store(tmp_path / "data", ahead)
    store.commit(Txn([Put("a", b"1")]))
    store.close()

    store = open_log_store(tmp_path / "data")
    health = store.health()
    store.close()

    assert health.warnings == []
    assert health.clock_ahead_s is not None
    assert 0 < health.clock_ahead_s <= 10


def test_doctor_advises_an_export_into_a_new_folder(tmp_path):
    written_ten_years_ahead(tmp_path / "data")

    ended = run("doctor", "--data", str(tmp_path / "data"), "--json")

    (clock,) = [found for found in json.loads(ended.out)["findings"] if found["name"] == "clock"]
    assert clock["level"] == "warning"
    assert "export the folder and import that into a new one" in clock["advice"]


@pytest.mark.parametrize("source", ["folder", "server"])
def test_export_and_import_leave_the_wrong_time_behind(tmp_path, source):
    written_ten_years_ahead(tmp_path / "data")
    lines = tmp_path / "all.jsonl"

    if source == "folder":
        exported = run("export", str(lines), "--data", str(tmp_path / "data"))
    else:
        with served(tmp_path) as server:
            exported = run("export", str(lines), "--url", server.url)
    imported = run("import", str(lines), "--data", str(tmp_path / "new"))
    new = open_log_store(tmp_path / "new")
    session, kept, health = new.get("session"), new.get("kept"), new.health()
    new.close()

    assert (exported.code, imported.code) == (0, 0)
    assert "s ahead of its machine's clock" in exported.err
    assert health.clock_ahead_s == 0
    assert kept is not None
    assert session is not None
    assert session.expires_us is not None
    expires = datetime.fromtimestamp(session.expires_us / 1e6, UTC)
    assert expires - datetime.now(UTC) < timedelta(seconds=60)


def test_export_keeps_times_of_expiry_to_the_microsecond(tmp_path):
    """A small correction of a clock moves nothing: the store's time stands still until then."""
    ahead = StoreSettings(clock=lambda: system_clock_us() + 50_000_000)
    store = open_log_store(tmp_path / "data", ahead)
    store.commit(Txn([Put("session", b"s", ttl_s=600)]))
    session = store.get("session")
    store.close()
    assert session is not None
    assert session.expires_us is not None

    by_folder = run("export", "--data", str(tmp_path / "data"))
    with served(tmp_path) as server:
        by_server = run("export", "--url", server.url)

    for exported in (by_folder, by_server):
        expires = datetime.fromisoformat(json.loads(exported.out)["expires"])
        assert expires == EPOCH + timedelta(microseconds=session.expires_us)
