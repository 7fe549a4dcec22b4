"""Test a real server whose small disk becomes full (T10)."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rundlet_server.storage.notices.repeats import AT_ONCE
from tests.support.disks.small_disk import free_bytes, mounted, used_bytes
from tests.support.processes.killed_servers import (
    SERVER_NAMES,
    SERVERS,
    connect,
    processes_of,
    start,
)
from tests.support.processes.servers import wait_for

MIB = 1024 * 1024
PROBLEM = "application/problem+json"
RESERVED_MAX = 6 * MIB
"""What may be free, of 24 MiB, when values are refused."""

both_servers = pytest.mark.parametrize("options", SERVERS, ids=SERVER_NAMES)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 24 MiB."""
    with mounted(tmp_path / "disk", 24 * MIB) as folder:
        if not folder.is_mount():
            pytest.skip("only root can mount")
        yield folder


@both_servers
def test_full_disk_refuses_writes_until_there_is_space(small_disk, tmp_path, options):
    filler = small_disk / "filler"
    settings = ("--keep-for", "0s", "--keep-versions", "1")
    with start(tmp_path, *options, *settings, "--data", small_disk / "store") as server:
        with connect(server) as connection:
            filler.write_bytes(bytes(8 * MIB))
            value = random.Random(2).randbytes(200_000)
            held = []
            for number in range(1_000):
                answer = connection.ask("PUT", f"/v1/kv/{number}", value)
                if answer.status == 507:
                    break
                assert answer.status == 201
                held.append(number)
            check_full(server, connection, held, value)

            filler.unlink()
            assert connection.ask("PUT", "/v1/kv/again", b"1").status == 201
            assert connection.ask("GET", "/readyz").status == 200
            for number in held[::2]:
                assert connection.ask("DELETE", f"/v1/kv/{number}").status == 204
            before = used_bytes(small_disk / "store")
            connection.ask("POST", "/v1/admin/compact")
            wait_for(lambda: used_bytes(small_disk / "store") < before * 0.7)
            for number in held[1::2]:
                assert connection.ask("GET", f"/v1/kv/{number}").body == value
        assert server.stop() == 0


@both_servers
def test_a_full_disk_fills_no_log(small_disk, tmp_path, options):
    with (
        start(tmp_path, *options, "--data", small_disk / "store") as server,
        connect(server) as connection,
    ):
        filler = small_disk / "filler"
        filler.write_bytes(bytes(free_bytes(small_disk) - MIB // 2))
        refused = [
            connection.ask("PUT", f"/v1/kv/{number}", bytes(1_000)).status for number in range(400)
        ]
        assert refused == [507] * len(refused)
        wait_for(lambda: "values are refused" in server.stderr)
        filler.unlink()
        assert connection.ask("PUT", "/v1/kv/again", b"1").status == 201
        wait_for(lambda: "writes are accepted again" in server.stderr)

        lines = server.stderr.splitlines()
        assert 0 < sum('"failed"' in line for line in lines) <= 2 * AT_ONCE  # of two workers
        assert len(lines) < 30
        metrics = connection.ask("GET", "/metrics").body.decode()
        assert f'rundlet_http_failures_total{{problem="disk-full"}} {len(refused)}' in metrics


def check_full(server, connection, held, value) -> None:
    for _ in range(5):
        answer = connection.ask("PUT", "/v1/kv/more", value)
        assert (answer.status, answer.headers["content-type"]) == (507, PROBLEM)
        assert connection.txn({"op": "put", "key": "a", "text": "a" * 300_000}).status == 507
    for number in held:
        assert connection.ask("GET", f"/v1/kv/{number}").body == value
    assert connection.ask("GET", "/v1/kv/more").status == 404
    assert connection.ask("GET", "/v1/stats").json["keys"] == len(held)
    assert connection.ask("GET", "/readyz").status == 503
    assert server.process.poll() is None


# --- over and over, by what the store itself holds ------------------------------------------


class Filler:
    """One client that fills a disk and makes room again, and knows what must be there.

    Attributes:
        held: the size of each key's value, which is made of the key.
        steady: keys that are never touched, so that they can be read at any time.
    """

    def __init__(self, connection, chance) -> None:
        self.connect(connection)
        self._chance = chance
        self.held: dict[str, int] = {}
        self.steady = [f"steady/{number}" for number in range(20)]
        for key in self.steady:
            assert self._put(key, 5_000) in (201, 204)

    def connect(self, connection) -> None:
        """Go on with another connection."""
        self._connection = connection

    def fill(self) -> int:
        """Put until a value is refused; how many were not."""
        size = self._chance.choice([3_000, 30_000, 200_000])
        count = 0
        while True:
            key = f"k{self._chance.randrange(4_000)}"
            status = self._put(key, self._chance.randint(0, 2 * size))
            if status == 507:
                return count
            assert status in (201, 204)
            count += 1

    def free(self) -> None:
        """Delete some keys, one by one or many at once, and have it compacted."""
        keys = [key for key in self.held if key not in self.steady]
        gone = self._chance.sample(keys, int(len(keys) * self._chance.uniform(0.5, 1)))
        together = self._chance.choice([1, 100])
        for start_at in range(0, len(gone), together):
            part = gone[start_at : start_at + together]
            answer = self._connection.txn(*({"op": "delete", "key": key} for key in part))
            assert answer.status == 200, answer.body
            for key in part:
                del self.held[key]
        assert self._connection.ask("POST", "/v1/admin/compact").status == 202

    def check(self) -> None:
        for key, size in self.held.items():
            answer = self._connection.ask("GET", f"/v1/kv/{key}")
            assert (answer.status, answer.body) == (200, value_of(key, size))
        assert self._connection.ask("GET", "/v1/stats").json["keys"] == len(self.held)

    def _put(self, key: str, size: int) -> int:
        status = self._connection.ask("PUT", f"/v1/kv/{key}", value_of(key, size)).status
        if status in (201, 204):
            self.held[key] = size
        return status


def value_of(key: str, size: int) -> bytes:
    return random.Random(f"{key} {size}").randbytes(size)


def fill_and_free(campaign, rounds, disk, folder, options) -> None:
    """Fill, read, delete, compact, without a restart; some keys are read all the time."""
    over = threading.Event()
    store = disk / "store"
    with (
        start(
            folder, *options, "--keep-for", "0s", "--keep-versions", "1", "--data", store
        ) as server,
        connect(server) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        pids = processes_of(server.process.pid)
        filler = Filler(connection, random.Random(campaign.seed))
        reading = pool.submit(read_until, over, server, filler.steady)
        try:
            for _ in rounds:
                campaign.count("values", filler.fill())
                assert free_bytes(disk) < RESERVED_MAX
                assert connection.ask("GET", "/readyz").status == 503
                filler.check()
                filler.free()
                wait_for(lambda: connection.ask("GET", "/readyz").status == 200)
                wait_for(lambda: is_given_back(disk, filler))
                campaign.count("full disks")
        finally:
            over.set()
        campaign.count("reads meanwhile", reading.result())
        assert processes_of(server.process.pid) == pids
        assert server.stop() == 0
    with start(folder, *options, "--data", store) as server, connect(server) as connection:
        filler.connect(connection)
        filler.check()


def read_until(over: threading.Event, server, keys) -> int:
    count = 0
    with connect(server) as connection:
        while not over.is_set():
            items = connection.send("/v1/mget", {"keys": keys}).json["items"]
            assert all(item["found"] for item in items)
            for key in keys:
                answer = connection.ask("GET", f"/v1/kv/{key}")
                assert (answer.status, answer.body) == (200, value_of(key, 5_000))
                count += 1
    return count


def is_given_back(disk, filler) -> bool:
    """Whether no process holds on to much more than what is there, and what is kept free."""
    used = 24 * MIB - free_bytes(disk)
    return used < sum(filler.held.values()) + RESERVED_MAX


@pytest.mark.slow
@both_servers
def test_a_full_disk_is_emptied_by_deletions(campaign, small_disk, tmp_path, options):
    fill_and_free(campaign, campaign.rounds(1), small_disk, tmp_path, options)


@pytest.mark.soak
@both_servers
def test_a_full_disk_is_emptied_by_deletions_for_long(campaign, small_disk, tmp_path, options):
    fill_and_free(campaign, campaign.rounds(), small_disk, tmp_path, options)
