"""Test what many clients, workers and processes on one folder may see of each other."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.processes.command_line import run
from tests.support.processes.killed_servers import (
    GRANIAN,
    SERVER_NAMES,
    SERVERS,
    connect,
    in_threads,
    start,
)
from tests.support.processes.servers import wait_for

CLIENTS = 16
ROUNDS_EACH = 25


@pytest.fixture(scope="module", params=SERVERS, ids=SERVER_NAMES)
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    with start(folder, *request.param) as running:
        running.folder = folder / "data"
        yield running


def increment_by_if_match(connection, key: str) -> None:
    while True:
        now = connection.ask("GET", f"/v1/kv/{key}")
        number = int(now.body) + 1
        answer = connection.ask(
            "PUT", f"/v1/kv/{key}", b"%d" % number, If_Match=now.headers["etag"]
        )
        if answer.status == 204:
            return
        assert answer.status == 412


def increment_by_condition(connection, key: str) -> None:
    while True:
        item = connection.send("/v1/mget", {"keys": [key]}).json["items"][0]
        put = {"op": "put", "key": key, "text": str(int(item["text"]) + 1)}
        put["content_type"] = "text/plain"
        condition = {"key": key, "revision": item["revision"]}
        answer = connection.txn(put, **{"if": [condition]})
        if answer.status == 200:
            return
        assert answer.status == 409


def increment_by_add(connection, key: str) -> None:
    assert connection.txn({"op": "add", "key": key}).status == 200


def shown_value(item) -> str:
    """The value of an item, as the answer spells it."""
    return item["text"] if "text" in item else item["base64"]


@pytest.mark.parametrize(
    "increment", [increment_by_if_match, increment_by_condition, increment_by_add]
)
def test_no_increment_is_lost(server, increment):
    key = increment.__name__
    with connect(server) as connection:
        connection.ask("PUT", f"/v1/kv/{key}", b"0", Content_Type="text/plain")

    def work(_number: int) -> None:
        with connect(server) as own:
            for _ in range(ROUNDS_EACH):
                increment(own, key)

    in_threads(work, CLIENTS)

    with connect(server) as connection:  # the first one may have been idle for too long
        answer = connection.ask("GET", f"/v1/kv/{key}")
        assert int(answer.body) == CLIENTS * ROUNDS_EACH
        assert answer.headers["kv-version"] == str(CLIENTS * ROUNDS_EACH + 1)


def test_only_one_of_many_creates_a_key(server):
    def create(number: int) -> int:
        with connect(server) as own:
            return own.ask("PUT", "/v1/kv/first", b"%d" % number, If_None_Match="*").status

    statuses = in_threads(create, CLIENTS)

    assert sorted(statuses) == [201] + [412] * (CLIENTS - 1)


def test_nobody_sees_half_a_transaction(campaign, server):
    look_for_halves(campaign, campaign.rounds(6), server)


@pytest.mark.soak
def test_nobody_sees_half_a_transaction_for_long(campaign, server):
    look_for_halves(campaign, campaign.rounds(), server)


def look_for_halves(campaign, rounds, server) -> None:
    """Two write 20 keys at once, over and over, four read all of them (T15)."""
    keys = [f"half/{number:02}" for number in range(20)]
    is_over = threading.Event()
    looks = dict.fromkeys(range(2, 6), 0)

    def write(count: int) -> None:
        with connect(server) as own:
            while not is_over.is_set():
                count += 100
                ops = [
                    {"op": "put", "key": key, "text": f"{count:09}"[: 1 + count % 9]}
                    for key in keys
                ]
                if count // 100 % 5 == 0:
                    ops = [{"op": "delete", "key": key} for key in keys]
                assert own.txn(*ops).status == 200

    def read_by_mget(reader: int) -> None:
        repeatedly(reader, lambda own: own.send("/v1/mget", {"keys": keys}).json["items"])

    def read_by_list(reader: int) -> None:
        target = "/v1/keys?prefix=half/&include=value&limit=100"
        repeatedly(reader, lambda own: own.ask("GET", target).json["keys"])

    def repeatedly(reader: int, read) -> None:
        with connect(server) as own:
            while not is_over.is_set():
                found = [item for item in read(own) if item.get("found", True)]
                assert len(found) in (0, len(keys))
                assert len({(item["revision"], shown_value(item)) for item in found}) <= 1
                looks[reader] += 1

    def compact(_: int) -> None:
        with connect(server) as own:
            for _ in rounds:
                time.sleep(0.5)
                assert own.ask("POST", "/v1/admin/compact").status == 202
        wait_for(lambda: is_over.is_set() or min(looks.values()) > 10)

    work = [write, write, read_by_mget, read_by_mget, read_by_list, read_by_list, compact]

    def guarded(number: int) -> None:
        try:
            work[number](number)
        finally:
            is_over.set()

    in_threads(guarded, len(work))
    campaign.count("looks", sum(looks.values()))


def test_pages_of_one_list_stay_one_snapshot(server):
    with connect(server) as connection:
        names = [f"page/{number:04}" for number in range(500)]
        connection.txn(*({"op": "put", "key": name, "text": "old"} for name in names))
        is_over = threading.Event()

        def disturb(number: int) -> None:
            with connect(server) as own:
                while not is_over.is_set():
                    for name in names[number::4]:
                        own.ask("PUT", f"/v1/kv/{name}", b"new")
                        own.ask("DELETE", f"/v1/kv/{name}")
                        own.ask("PUT", f"/v1/kv/{name}/more", b"new")
                        if is_over.is_set():
                            return

        def read_pages(_: int) -> list[tuple[str, int]]:
            found = []
            target = "/v1/keys?prefix=page/&include=value&limit=20"
            while target:
                page = connection.ask("GET", target).json
                found += [(item["key"], shown_value(item)) for item in page["keys"]]
                target = page.get("next")
                if len(found) == 100:
                    connection.ask("POST", "/v1/admin/compact")
                time.sleep(0.05)
                revisions.add(page["revision"])
            is_over.set()
            return found

        revisions: set[int] = set()

        def guarded(number: int) -> object:
            try:
                return read_pages(number) if number == 4 else disturb(number)
            finally:
                is_over.set()

        listed = in_threads(guarded, 5)[4]
        at_once = f"/v1/keys?prefix=page/&include=value&rev={min(revisions)}"
        wanted = [
            (item["key"], shown_value(item)) for item in connection.ask("GET", at_once).json["keys"]
        ]

    assert len(revisions) == 1
    assert listed == wanted
    assert len(listed) >= 496  # each of four writers may be between deletion and writing


def test_command_line_and_server_see_each_other_at_once(server):
    place = ("--data", str(server.folder))
    with connect(server) as connection:
        for number in range(5):
            key = f"both/{number}"
            assert run("set", *place, key, "by the command line").code == 0
            assert connection.ask("GET", f"/v1/kv/{key}").body == b"by the command line"
            assert connection.ask("PUT", f"/v1/kv/{key}", b"by the server").status == 204
            assert run("get", *place, key).out == b"by the server"
            assert run("del", *place, key).code == 0
            assert connection.ask("GET", f"/v1/kv/{key}").status == 404


@pytest.mark.parametrize("options", [SERVERS, SERVERS[::-1]], ids=["both", "both_reversed"])
def test_two_servers_on_one_folder_see_each_other_at_once(tmp_path, options):
    with (
        start(tmp_path, *options[0]) as first,
        start(tmp_path, *options[1]) as second,
        connect(first) as one,
        connect(second) as two,
    ):
        for number in range(100):
            assert one.ask("PUT", "/v1/kv/k", b"one %d" % number).status in (201, 204)
            assert two.ask("GET", "/v1/kv/k").body == b"one %d" % number
            assert two.ask("PUT", "/v1/kv/k", b"two %d" % number).status == 204
            assert one.ask("GET", "/v1/kv/k").body == b"two %d" % number
            if number == 50:
                assert two.ask("POST", "/v1/admin/compact").status == 202
        assert second.stop() == 0
        assert one.ask("PUT", "/v1/kv/k", b"alone").status == 204
        assert one.ask("GET", "/v1/kv/k").body == b"alone"


def test_counts_are_exact_over_workers_compaction_and_restart(tmp_path):
    with start(tmp_path, *GRANIAN) as server:
        with connect(server) as connection:

            def work(number: int) -> dict[str, bytes]:
                mine = {}
                with connect(server) as own:
                    for count in range(60):
                        key = f"{number}/{count % 25}"
                        value = b"v" * (number * 10 + count)
                        own.ask("PUT", f"/v1/kv/{key}", value)
                        mine[key] = value
                        own.ask("GET", f"/v1/kv/{key}")
                        if count % 4 == 0:
                            own.ask("DELETE", f"/v1/kv/{key}")
                            del mine[key]
                return mine

            held = {key: v for mine in in_threads(work, 8) for key, v in mine.items()}
            counts = {"get": 480, "set": 480, "delete": 120}
            check_counts(connection, held, counts)
            connection.ask("POST", "/v1/admin/compact")
            time.sleep(1)
            check_counts(connection, held, counts)
        assert server.stop() == 0
    with start(tmp_path, *GRANIAN) as server, connect(server) as connection:
        check_counts(connection, held, {"get": 0, "set": 0, "delete": 0})


def check_counts(connection, held: dict[str, bytes], operations: dict[str, int]) -> None:
    """Compare with what was written, asked of whichever worker answers."""
    stats = connection.ask("GET", "/v1/stats").json
    assert stats["keys"] == len(held)
    assert stats["value_bytes"] == sum(map(len, held.values()))
    assert stats["operations"] == operations
    assert connection.ask("HEAD", "/v1/keys").headers["kv-count"] == str(len(held))
