"""Test ``Client.watch`` and ``Client.wait_for``."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rundlet import BadRequest, Client, Compacted, ConnectionFailed, Put, ServerError, Unauthorized
from rundlet.calls.call import Request
from rundlet.feed import FeedReader
from tests.support import PATIENCE_S
from tests.support.processes.certificates import PrivateAuthority
from tests.support.processes.servers import RundletServer, free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("served")
    with RundletServer("--data", folder / "data", stderr_path=folder / "stderr") as served:
        yield served


@pytest.fixture
def client(server: RundletServer) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


def soon(act, after_s: float = 0.2) -> threading.Timer:
    timer = threading.Timer(after_s, act)
    timer.start()
    return timer


@contextmanager
def once_it_waits(client: Client, act) -> Iterator[None]:
    """Act when ``wait_for`` knows what the key holds, and is about to wait for another value."""
    transport, send = client._transport, client._transport.send
    timers: list[threading.Timer] = []

    def send_and_act(request: Request):
        if "wait=" in request.path and not timers:
            timers.append(soon(act))
        return send(request)

    transport.send = send_and_act
    try:
        yield
    finally:
        del transport.send
    timers[0].join()


def test_watch_begins_when_it_is_made(client: Client):
    client.set("w/before", "0")
    with client.watch("w/") as watch:
        written = client.set("w/k", "1")

        event = next(watch)

        assert (event.key, event.op, event.revision) == ("w/k", "put", written.revision)
        assert (event.size, event.version, event.is_last, event.data) == (1, 1, True, None)
        assert watch.position == written.revision


def test_watch_goes_on_from_a_revision_with_values(client: Client):
    since = client.set("v/a", b"\xff").revision
    client.txn([Put("v/b", b"\x00\xfe"), Put("v/c", b"text", "text/plain")])
    client.delete("v/a")

    with client.watch("v/", since=since, values=True) as watch:
        events = [next(watch) for _ in range(3)]

    assert [(e.key, e.op, e.data) for e in events] == [
        ("v/b", "put", b"\x00\xfe"),
        ("v/c", "put", b"text"),
        ("v/a", "delete", None),
    ]
    assert [e.is_last for e in events] == [False, True, True]


@pytest.mark.parametrize("key", ["l/\u2028line", "l/\x85next", "l/\nfeed", 'l/quote"', "l/ü😀"])
def test_keys_with_line_breaks_do_not_break_lines(client: Client, key: str):
    with client.watch("l/") as watch:
        client.set(key, "x")

        assert next(watch).key == key


def test_another_thread_ends_the_iteration(client: Client):
    watch = client.watch("nothing/")
    timer = soon(watch.close)

    began_s = time.monotonic()
    events = list(watch)

    timer.join()
    assert events == []
    assert time.monotonic() - began_s < PATIENCE_S / 2
    assert next(watch, None) is None


def test_another_thread_ends_the_iteration_under_tls(tmp_path: Path):
    authority = PrivateAuthority(tmp_path)
    cert, key = authority.certificate("server")
    options = ("--server", "granian", "--tls-cert", cert, "--tls-key", key)
    with (
        RundletServer(
            *options, "--data", tmp_path / "data", stderr_path=tmp_path / "stderr"
        ) as served,
        Client(served.url, ca_file=authority.ca_path) as client,
        client.watch() as watch,
    ):
        client.set("first", "1")
        seen = [next(watch).key]
        timer = soon(watch.close)

        began_s = time.monotonic()
        seen += [event.key for event in watch]

        timer.join()
        took_s = time.monotonic() - began_s

    assert seen == ["first"]
    assert took_s < PATIENCE_S / 4  # it does not wait for the next sign of life


def test_leaving_the_block_frees_the_place(server: RundletServer, client: Client):
    with client.watch("free/") as watch:
        client.set("free/k", "1")
        next(watch)

    def feeds() -> bool:
        return "rundlet_feeds_open 0" in server.client.get("/metrics").text

    deadline_s = time.monotonic() + PATIENCE_S
    while not feeds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_revision_beyond_the_head_is_refused_at_once(client: Client):
    with pytest.raises(BadRequest):
        client.watch(since=10**9)


def test_no_server_is_an_error_at_the_start():
    with (
        Client(f"http://127.0.0.1:{free_port()}", retries=0) as client,
        pytest.raises(ConnectionFailed),
    ):
        client.watch()


def test_watch_goes_on_after_restarts(tmp_path: Path):
    """Two servers, one after the other, on one port and one folder."""
    port = free_port()
    arguments = ("--data", tmp_path / "data", "--port", str(port))
    with RundletServer(*arguments, stderr_path=tmp_path / "first") as server:
        client = Client(server.url)
        watch = client.watch()
        client.set("a", "1")
        seen = [next(watch).key]
        server.process.kill()
        server.wait()
    timer = soon(lambda: None, 0.5)
    with RundletServer(*arguments, stderr_path=tmp_path / "second"):
        client.set("b", "2")
        seen.append(next(watch).key)
    timer.join()
    watch.close()
    client.close()

    assert seen == ["a", "b"]


# --- one key -------------------------------------------------------------------------------


def test_key_is_waited_for(client: Client):
    client.set("one", "1")

    with once_it_waits(client, lambda: (client.set("one/other", "x"), client.set("one", "2"))):
        value = client.wait_for("one")

    assert value is not None
    assert value.text == "2"


def test_key_that_is_not_there_yet_is_waited_for(client: Client):
    with once_it_waits(client, lambda: client.set("later", "1")):
        value = client.wait_for("later")

    assert value is not None


def test_deletion_is_a_change(client: Client):
    client.set("going", "1")

    with once_it_waits(client, lambda: client.delete("going")):
        value = client.wait_for("going")

    assert value is None


def test_change_that_was_missed_ends_the_wait_at_once(client: Client):
    old = client.set("missed", "1").revision
    client.set("missed", "2")

    value = client.wait_for("missed", revision=old)

    assert value is not None
    assert value.text == "2"


def test_wait_for_one_key_ends_after_its_time(client: Client):
    client.set("still", "1")

    with pytest.raises(TimeoutError, match=r"'still' has not changed within 0\.1 s"):
        client.wait_for("still", timeout_s=0.1)


# --- without I/O ---------------------------------------------------------------------------


def line(revision: int, key: str, *, is_last: bool = True) -> bytes:
    event = {
        "revision": revision, "time": "2026-01-01T00:00:00Z", "op": "put", "key": key,
        "version": 1, "size": 1, "content_type": "text/plain", "last": is_last,
    }  # fmt: skip
    return json.dumps(event).encode()


def test_incomplete_transaction_is_held_back_and_read_again():
    reader = FeedReader("", 4, include_values=False)
    assert reader.take(line(5, "a", is_last=False)) == []
    assert reader.position == 4

    reader.begin()
    reader.take(line(5, "a", is_last=False))
    events = reader.take(line(5, "b"))

    assert [event.key for event in events] == ["a", "b"]
    assert reader.position == 5


def test_signs_of_life_move_the_position():
    reader = FeedReader("p/", 4, include_values=True)

    reader.take(b'{"next_since": 9}')

    assert reader.path == "/v1/changes?since=9&prefix=p%2F&include=value"


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [("compacted", 410, Compacted), ("unauthorized", 401, Unauthorized)],
)
def test_problem_ends_the_feed(name: str, status: int, error: type[Exception]):
    problem = {"type": f"/problems/{name}", "status": status, "detail": "why", "request_id": "r-1"}
    reader = FeedReader("", 4, include_values=False)

    with pytest.raises(error, match="why") as caught:
        reader.take(json.dumps({"problem": problem}).encode())

    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize("bad", [b"<html>", b"[1]", b"{}", line(3, "again")])
def test_what_is_no_feed_is_refused(bad: bytes):
    with pytest.raises(ServerError):
        FeedReader("", 4, include_values=False).take(bad)


def test_other_program_at_the_address_is_refused(client: Client, monkeypatch):
    watch = client.watch()
    monkeypatch.setattr(
        watch, "_transport", type("Other", (), {"follow": lambda *_, **__: httpx.Response(200)})()
    )

    with pytest.raises(ServerError, match="is this a Rundlet server"):
        next(watch)
