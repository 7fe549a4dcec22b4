"""Test that the log goes on in new segments if ``ulimit -f`` keeps files small."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from tests.support.processes.command_line import run

LIMIT_BYTES = 1024 * 1024


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_log_goes_on_in_a_new_segment(tmp_path):
    store = open_log_store(tmp_path / "data")

    for number in range(30):
        store.commit(Txn([Put(f"k{number}", bytes(100_000))]))
    reasons = store.health().reasons
    store.close()

    assert reasons == []
    assert max(path.stat().st_size for path in (tmp_path / "data").iterdir()) <= LIMIT_BYTES
    assert verify(tmp_path / "data").problems == []


def test_large_value_that_does_not_fit_is_taken_the_next_time(tmp_path):
    store = open_log_store(tmp_path / "data")
    store.commit(Txn([Put("small", bytes(200_000))]))
    large = Txn([Put("large", bytes(900_000))])

    with pytest.raises(Unavailable, match="ulimit -f"):
        store.commit(large)
    store.commit(large)
    with pytest.raises(Unavailable, match="ulimit -f"):
        store.commit(Txn([Put("too large", bytes(LIMIT_BYTES))]))
    store.commit(Txn([Put("after", b"1")]))
    found = [key for key in ("small", "large", "too large", "after") if store.get(key)]
    segments = len(list((tmp_path / "data").glob("*.log")))
    store.close()

    assert found == ["small", "large", "after"]
    assert segments == 3


def test_doctor_warns_of_the_limit(tmp_path):
    open_log_store(tmp_path / "data").close()

    findings = json.loads(run("doctor", "--json", "--data", str(tmp_path / "data")).out)["findings"]

    (found,) = [finding for finding in findings if finding["name"] == "file size"]
    assert found["level"] == "warning"
    assert "1.0 MiB" in found["seen"]
