"""Test the proxies of ``deploy/``: keys, feeds, backups, and what they repeat.

``tests/server/test_nginx.py`` tests nginx in more detail.
"""

from __future__ import annotations

import json
import random
import re
import socket
import threading
from collections.abc import Iterator

import pytest

from rundlet_server.functions.feeds.stream import HEARTBEAT_S
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.functions.settings.feeds import FeedLimits
from tests.support import PATIENCE_S
from tests.support.processes.command_line import run
from tests.support.processes.fronts import FRONTS, HAPROXY, NGINX, Front, haproxy
from tests.support.processes.servers import RundletServer, free_port, wait_for
from tests.support.wire.awkward_keys import canonical, spellings

SPELLINGS = 80


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("server")
    with RundletServer("--data", folder / "data", stderr_path=folder / "stderr") as server:
        yield server


@pytest.fixture(scope="module", params=FRONTS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def front(
    kind: str, server: RundletServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    with FRONTS[kind]([server.url], tmp_path_factory.mktemp(kind)) as front:
        yield front


def test_awkward_keys_arrive_as_they_were_sent(kind, server, front):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    arrived = 0
    for number, (target, key) in enumerate(spellings(chance, SPELLINGS)):
        value = str(number).encode()
        told = f"seed {seed}, {target!r}"

        status = front.ask("PUT", target, value).status

        if key is None or is_refused_by(kind, target):
            assert status == 400, told
            continue
        assert status in {201, 204}, told
        assert server.client.get(canonical(key)).content == value, told
        assert front.ask("GET", canonical(key)).body == value, told
        arrived += 1
    assert arrived > SPELLINGS // 2


def is_refused_by(kind: str, target: str) -> bool:
    """Whether a proxy refuses a target: nginx does if it has a zero byte or leaves the root."""
    if kind != "nginx":
        return False
    depth = 0
    for part in target.split("/")[1:]:
        plain = part.replace("%2e", ".").replace("%2E", ".")
        depth += {"..": -1, ".": 0}.get(plain, 1)
        if depth < 0:
            return True
    return "%00" in target


def test_key_of_dots_goes_through_in_the_other_spelling(server, front):
    assert front.ask("PUT", canonical("../../a/.."), b"dots").status == 201
    assert server.client.get(canonical("../../a/..")).content == b"dots"
    server.client.delete(canonical("../../a/.."))


def test_change_reaches_a_client_whose_feed_stays_open(server, front):
    with front.asked("GET", "/v1/changes?prefix=fed", Accept="text/event-stream") as answer:
        assert answer.status == 200
        server.client.put("/v1/kv/fed", content=b"1")

        # Reads line by line: a proxy that gathers events would let this wait until it times out.
        lines = iter(answer.readline, b"")
        assert any(b'"fed"' in line for line in lines)


def test_long_poll_ends_with_the_change_it_waits_for(server, front):
    since = server.client.get("/v1/changes").json()["next_since"]
    timer = threading.Timer(0.3, server.client.put, ["/v1/kv/polled"], {"content": b"1"})
    timer.start()

    answer = front.ask("GET", f"/v1/changes?since={since}&prefix=polled&wait=50")

    timer.join()
    assert answer.status == 200
    assert b'"polled"' in answer.body


def test_backup_through_a_proxy_can_be_restored(server, front, tmp_path):
    front.ask("PUT", "/v1/kv/saved", b"x" * 300_000)
    options = ("--url", f"https://localhost:{front.port}", "--ca-file", str(front.ca_path))

    taken = run("backup", str(tmp_path / "backups"), *options)
    restored = run("restore", str(tmp_path / "backups"), "--to", str(tmp_path / "restored"))

    assert (taken.code, restored.code) == (0, 0), taken.err + restored.err
    got = run("get", "saved", "--data", str(tmp_path / "restored"))
    assert got.out.strip() == b"x" * 300_000


def test_write_that_was_sent_is_not_sent_again(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        writes: list[bytes] = []
        threading.Thread(target=hang_up, args=[listener, writes], daemon=True).start()
        # Three servers in name, and one that counts: another try could go to each of them.
        with FRONTS[kind]([url, url, url], tmp_path) as front:
            if kind == "haproxy":
                wait_for(lambda: front.ask("GET", "/up").status == 200)

            answer = front.ask("PUT", "/v1/kv/a", b"1")
            assert answer.status == {"nginx": 504, "haproxy": 502}[kind]
            if kind == "nginx":
                assert json.loads(answer.body)["type"] == "/problems/outcome-unknown"

    assert len(writes) == 1


def hang_up(listener: socket.socket, writes: list[bytes]) -> None:
    """Answer GET requests; note a write, and close the connection without an answer."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(PATIENCE_S)
            head = connection.recv(65_536)
            if head.startswith(b"PUT"):
                while not head.endswith(b"\r\n\r\n1"):  # all of it: else closing would be a reset
                    head += connection.recv(65_536)
                writes.append(head)
            elif head:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_no_request_fails_if_one_of_two_servers_is_missing(kind, server, tmp_path):
    closed = f"http://127.0.0.1:{free_port()}"
    slow_checks = {"inter 2s": "inter 1h"}  # so that HAProxy learns of it from requests alone

    changes = slow_checks if kind == "haproxy" else None
    with FRONTS[kind]([server.url, closed], tmp_path, changes) as front:
        statuses = [front.ask("PUT", "/v1/kv/two", b"1").status for _ in range(20)]

    assert set(statuses) <= {201, 204}


def test_request_that_no_server_took_can_be_sent_again(kind, tmp_path):
    closed = f"http://127.0.0.1:{free_port()}"

    with FRONTS[kind]([closed, closed], tmp_path) as front:
        answer = front.ask("PUT", "/v1/kv/a", b"1")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert json.loads(answer.body)["type"] == "/problems/unavailable"


def test_server_that_is_not_ready_gets_no_request(server, tmp_path):
    server.client.put("/v1/kv/where", content=b"here")
    data = tmp_path / "data"
    with RundletServer("--data", data, stderr_path=tmp_path / "stderr") as other:
        data.rename(tmp_path / "moved")  # so its folder is replaced, which /readyz reports
        wait_for(lambda: other.client.get("/readyz").status_code == 503)

        with haproxy([server.url, other.url], tmp_path) as front:
            # HAProxy takes both for ready until it has asked twice.
            wait_for(lambda: {front.ask("GET", "/v1/kv/where").status for _ in range(10)} == {200})


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (NGINX, r"proxy_read_timeout (\d+)s"),
        (HAPROXY, r"timeout server (\d+)s"),
        (HAPROXY, r"timeout client (\d+)s"),
    ],
)
def test_proxy_waits_longer_than_any_answer_pauses(path, pattern):
    [timeout_s] = re.findall(pattern, path.read_text())

    assert int(timeout_s) > FeedLimits().wait_s_max
    assert int(timeout_s) > 2 * HEARTBEAT_S
    assert int(timeout_s) > ConnectionLimits().body_timeout_s


def test_haproxy_holds_headers_of_the_longest_key(server, tmp_path):
    key = "字" * 682  # 2,046 bytes, 6,138 in a path

    with haproxy([server.url], tmp_path) as front:
        target = "/v1/kv/" + "".join(f"%{byte:02X}" for byte in key.encode())
        answer = front.ask("PUT", target, b"1", X_Filler="x" * 16_000)

    assert answer.status in {201, 204}
