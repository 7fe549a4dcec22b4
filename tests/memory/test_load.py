"""Memory under reads, writes, large answers and slow readers together: flat after the warm-up."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.processes.memory import resident_bytes
from tests.support.processes.servers import RundletServer, silent_clients

MIB = 1024 * 1024
KEYS = 60_000
"""Of 400 bytes each: twice what the cache of read values holds."""
LARGE = [f"large/{number}" for number in range(4)]
LARGE_BYTES = 6 * MIB
ROUNDS = 6
ROUND_S = 1.5
GROWTH_MAX = 48 * MIB
"""What the memory may vary by, between the middle of a run and its end: the allocator keeps some of
what large answers took. A minute in which each mget left its 400 KB behind would pass it."""
SLOW_GET = b"GET /v1/kv/large/0 HTTP/1.1\r\nHost: h\r\n\r\n"
SLOW_LIST = b"GET /v1/keys?include=value&prefix=large/ HTTP/1.1\r\nHost: h\r\n\r\n"

both_servers = pytest.mark.parametrize("name", ["waitress", "granian"])
Step = Callable[[httpx.Client, Random], httpx.Response]


@pytest.mark.slow
@both_servers
def test_memory_is_flat_under_load(campaign: Campaign, tmp_path: Path, name: str):
    load(campaign, campaign.rounds(ROUNDS), tmp_path, name)


@pytest.mark.soak
@both_servers
def test_memory_is_flat_under_load_for_long(campaign: Campaign, tmp_path: Path, name: str):
    load(campaign, campaign.rounds(), tmp_path, name)


@pytest.mark.parametrize(
    ("readings", "growth"),
    [([5] * 9, 0), ([1, 2, 3, 9, 9, 9, 9, 9, 9], 0), ([*range(9)], 3), ([9, 9, 9, 5, 5, 5], -2)],
)
def test_growth_is_measured_after_the_warm_up(readings: list[int], growth: int):
    assert growth_of(readings) == growth


def load(campaign: Campaign, rounds: Iterator[Random], folder: Path, name: str) -> None:
    """Work on one server round after round, and compare its memory at their ends."""
    options = [
        "--data",
        folder / "data",
        "--server",
        name,
        "--sync",
        "never",
        "--keep-for",
        "0s",
        "--keep-versions",
        "1",
    ]
    with RundletServer(*options, stderr_path=folder / "log") as server:
        fill(server)
        readings: list[int] = []
        for chance in rounds:
            work(campaign, server, chance)
            readings.append(settled_bytes(server))

        print([reading // MIB for reading in readings])  # noqa: T201 - pytest shows it
        assert growth_of(readings) <= GROWTH_MAX
        assert server.client.get("/v1/kv/key 1").status_code == 200


def growth_of(readings: list[int]) -> int:
    """Return the memory in the last third of a run, less that in the third before it."""
    third = max(1, len(readings) // 3)
    before, after = readings[-2 * third : -third], readings[-third:]
    return round(statistics.median(after) - statistics.median(before))


def settled_bytes(server: RundletServer) -> int:
    """Return the memory once the server has noticed that the clients are gone."""
    samples = []
    for _ in range(20):
        time.sleep(0.05)
        samples.append(resident_bytes(server.process.pid))
    return min(samples)


def fill(server: RundletServer) -> None:
    for start in range(0, KEYS, 1_000):
        ops = [put(number, "x") for number in range(start, start + 1_000)]
        server.client.post("/v1/txn", json={"then": ops}).raise_for_status()
    for key in LARGE:
        server.client.put(f"/v1/kv/{key}", content=bytes(LARGE_BYTES)).raise_for_status()


def put(number: int, letter: str) -> dict[str, str]:
    return {"op": "put", "key": f"key {number}", "text": letter * 400}


def work(campaign: Campaign, server: RundletServer, chance: Random) -> None:
    """Let several clients work for a while, beside others that do not read their answers."""
    steps: list[Step] = [read_many, read_many, read_one, write_some, read_large, read_parts]
    ends_s = time.monotonic() + ROUND_S
    errors: list[BaseException] = []

    def client(step: Step, seed: int) -> None:
        own = Random(seed)
        try:
            with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:
                while time.monotonic() < ends_s:
                    campaign.count(f"{step(http, own).status_code}s of {step.__name__}")
        except BaseException as ex:
            errors.append(ex)
            raise

    threads = [
        threading.Thread(target=client, args=(step, chance.getrandbits(32))) for step in steps
    ]
    with silent_clients(server, 6, SLOW_GET), silent_clients(server, 6, SLOW_LIST):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def read_many(http: httpx.Client, chance: Random) -> httpx.Response:
    keys = [f"key {chance.randrange(KEYS)}" for _ in range(1_000)]
    answer = http.post("/v1/mget", json={"keys": keys})
    assert answer.status_code == 503 or len(answer.json()["items"]) == 1_000
    return answer


def read_one(http: httpx.Client, chance: Random) -> httpx.Response:
    answer = http.get(f"/v1/kv/key {chance.randrange(KEYS)}")
    assert answer.status_code == 200
    return answer


def write_some(http: httpx.Client, chance: Random) -> httpx.Response:
    numbers = {chance.randrange(KEYS) for _ in range(200)}
    answer = http.post("/v1/txn", json={"then": [put(number, "y") for number in numbers]})
    assert answer.status_code == 200
    return answer


def read_large(http: httpx.Client, chance: Random) -> httpx.Response:
    answer = http.get(f"/v1/kv/{chance.choice(LARGE)}")
    assert answer.status_code == 503 or len(answer.content) == LARGE_BYTES
    return answer


def read_parts(http: httpx.Client, chance: Random) -> httpx.Response:
    if chance.random() < 0.5:
        return http.head(f"/v1/kv/{chance.choice(LARGE)}")
    first = chance.randrange(LARGE_BYTES)
    return http.get(f"/v1/kv/{chance.choice(LARGE)}", headers={"Range": f"bytes={first}-{first}"})
