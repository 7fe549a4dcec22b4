"""Test what the maintenance process decides to do, and when."""

from __future__ import annotations

import time
from contextlib import closing
from types import SimpleNamespace

import pytest

from rundlet_server.storage.counting.measures import MAINTENANCE_FAILURES, Measures
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log import maintenance
from rundlet_server.storage.log.maintenance import MaintenanceLoop
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

MAINTAINED = StoreSettings(maintain_inline=False, keep_for_s=0, keep_versions=1, sync="never")


def log_bytes(folder) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.log"))


@pytest.fixture
def store(tmp_path):
    with closing(open_log_store(tmp_path, MAINTAINED)) as opened:
        for number in range(20):
            opened.commit(Txn([Put("key", bytes([number]) * 10_000)]))
        yield opened


def test_compaction_asked_for_before_the_process_is_up_is_done(store, tmp_path):
    store.compact()

    MaintenanceLoop(store).tick(0)

    assert log_bytes(tmp_path) < 20_000


def test_compaction_that_failed_is_tried_again(store, tmp_path, monkeypatch):
    store.compact()
    loop = MaintenanceLoop(store)
    with monkeypatch.context() as patched:
        patched.setattr(store.maintainer, "_remove_orphans", full_disk)
        loop.tick(0)

    loop.tick(1_000)

    assert log_bytes(tmp_path) < 20_000


def test_job_that_fails_is_logged_and_pauses(store, monkeypatch, caplog):
    store.compact()
    attempts = []
    monkeypatch.setattr(store.maintainer, "compact", lambda **_: full_disk(attempts))
    loop = MaintenanceLoop(store)

    for now_s in (0.0, 0.1, 1.2, 29.0):
        loop.tick(now_s)

    assert len(attempts) == 1
    told = [each.getMessage() for each in caplog.records if each.name == "rundlet.maintenance"]
    assert told == ["maintenance of the store failed and will be tried again: no space"]


def test_job_that_fails_pauses_longer_than_it_took(store, monkeypatch):
    attempts = []
    monkeypatch.setattr(store.maintainer, "expire", lambda: full_disk(attempts, took_s=0.2))
    loop = MaintenanceLoop(store)

    for now_s in (0.0, 1.1, 1_000.0):
        loop.tick(now_s)

    assert len(attempts) == 2


def test_pause_after_a_long_attempt_has_a_bound(store, monkeypatch):
    attempts = []
    hour_s = 3_600.0
    times_s = iter([0.0, hour_s])
    loop = MaintenanceLoop(store)
    expiring = next(job for job in loop._jobs if job.action == store.maintainer.expire)
    monkeypatch.setattr(expiring, "action", lambda: full_disk(attempts))
    with monkeypatch.context() as patched:
        patched.setattr(maintenance, "time", SimpleNamespace(monotonic=lambda: next(times_s)))
        expiring.tick(0.0)

    expiring.tick(hour_s + 899)
    expiring.tick(hour_s + 901)

    assert len(attempts) == 2


def test_unexpected_error_of_a_job_is_logged_counted_and_pauses(store, monkeypatch, caplog):
    measures = Measures()
    attempts = []

    def fail(**_: object) -> None:
        attempts.append("failed")
        raise KeyError("a fault of ours")

    store.compact()
    monkeypatch.setattr(store.maintainer, "compact", fail)
    done = []
    monkeypatch.setattr(store.backups, "remove_ended", lambda: done.append("backups"))
    loop = MaintenanceLoop(store, measures)

    for now_s in (0.0, 1.2, 29.0):
        loop.tick(now_s)

    assert len(attempts) == 1
    assert "a fault of ours" in caplog.text  # in the traceback
    assert measures.shared.rows()[MAINTENANCE_FAILURES][0] == 1
    assert len(done) == 2


def test_job_that_fails_keeps_no_other_from_running(store, monkeypatch):
    for name in ("checkpoint", "compact", "expire", "merge_all"):
        monkeypatch.setattr(store.maintainer, name, full_disk)
    store.compact()
    store._writer.seal()
    done = []
    monkeypatch.setattr(store.backups, "remove_ended", lambda: done.append("backups"))
    monkeypatch.setattr(type(store.maintainer), "has_erased", True)
    monkeypatch.setattr(store.maintainer, "remove_erased", lambda: done.append("erased"))

    MaintenanceLoop(store).tick(0)

    assert done == ["backups", "erased"]


def test_compaction_is_done_once_for_all_who_maintain(store):
    store.compact()
    MaintenanceLoop(store).tick(0)

    assert not store.maintainer.is_compaction_wanted


def test_what_one_process_maintains_the_others_follow(store, tmp_path):
    with closing(open_log_store(tmp_path, MAINTAINED)) as other:
        store._writer.seal()
        assert other.get("key").version == 20
        before = other._follower.refresh().manifest
        assert before.indexes == ()

        store.maintainer.checkpoint()
        followed = other._follower.refresh().manifest
        assert len(followed.indexes) == 1
        store.maintainer.compact(thorough=True)

        assert other._follower.refresh().manifest.sealed_bytes < followed.sealed_bytes
        assert other.get("key").version == 20


def full_disk(attempts: list[str] | None = None, took_s: float = 0.0, **_: object) -> None:
    if attempts is not None:
        attempts.append("failed")
    time.sleep(took_s)
    raise OSError("no space")
