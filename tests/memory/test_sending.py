"""The bounds on large answers of one process: what they hold, and that they always release it."""

from __future__ import annotations

import io
import threading

import falcon
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.sending import LARGE_ANSWER_BYTES, LargeBody, SendingGate
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.interface import Limits, Put, Txn
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore

DATA = bytes(range(256)) * 8_000  # 2 MB
BOUND = 3 * len(DATA)


@pytest.fixture
def gate() -> SendingGate:
    return SendingGate(BOUND)


def sent(gate: SendingGate, method: str = "GET") -> falcon.Response:
    """Send the data, and return the response that a server would send."""
    req = falcon.Request(falcon.testing.create_environ(method=method))
    resp = falcon.Response()
    with gate.hold() as hold:
        hold.admit(len(DATA))
        hold.send(req, resp, DATA)
    return resp


def test_an_answer_holds_its_size_until_it_is_closed(gate: SendingGate):
    body = sent(gate).stream

    assert gate.held_bytes == len(DATA)
    assert b"".join(body) == DATA
    assert gate.held_bytes == len(DATA)
    body.close()
    body.close()
    assert gate.held_bytes == 0


def test_an_answer_that_no_server_closes_releases_what_it_holds(gate: SendingGate):
    sent(gate)

    assert gate.held_bytes == 0


def test_an_answer_that_fails_while_it_is_made_releases_what_it_holds(gate: SendingGate):
    held: list[int] = []

    def fail() -> None:
        with gate.hold() as hold:
            hold.admit(len(DATA))
            held.append(gate.held_bytes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert held == [2 * len(DATA)]
    assert gate.held_bytes == 0


def test_head_holds_nothing(gate: SendingGate):
    resp = sent(gate, "HEAD")

    assert (resp.data, resp.stream, gate.held_bytes) == (DATA, None, 0)


def test_small_answers_do_not_count(gate: SendingGate):
    resp = falcon.Response()
    with gate.hold() as hold:
        hold.admit(LARGE_ANSWER_BYTES)
        hold.send(falcon.Request(falcon.testing.create_environ()), resp, b"small")

    assert (resp.data, gate.held_bytes) == (b"small", 0)


def test_what_is_too_much_is_refused_by_the_name_of_its_limit(gate: SendingGate):
    what = "sending_bytes_max is 6144000.*8192000.*--max-sending-bytes"
    bodies = [sent(gate).stream for _ in range(2)]

    with pytest.raises(Problem, match=what) as caught:
        sent(gate)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    bodies.pop().close()
    sent(gate)


def test_one_answer_is_never_too_large():
    gate = SendingGate(1)
    body = sent(gate).stream

    assert b"".join(body) == DATA


def test_an_answer_waits_a_moment_for_room_in_memory(monkeypatch):
    monkeypatch.setattr("rundlet_server.functions.messages.sending._MOMENT_S", PATIENCE_S)
    gate = SendingGate(BOUND)
    bodies = [sent(gate).stream for _ in range(2)]
    threading.Timer(0.05, bodies.pop().close).start()

    assert sent(gate).stream is not None


def test_a_large_body_is_a_file():
    body, file = (
        LargeBody(lambda start, size: DATA[start : start + size], len(DATA), int),
        io.BytesIO(DATA),
    )
    for step in (
        "read 10",
        "seek 5 1",
        "read 70000",
        "seek -3 2",
        "read 9",
        "seek 131071 0",
        "read 2",
    ):
        name, *numbers = step.split()
        whole = getattr(file, name)(*map(int, numbers))
        part = getattr(body, name)(*map(int, numbers))
        while name == "read" and len(part) < len(whole):
            part += body.read(len(whole) - len(part))
        assert part == whole
        assert body.tell() == file.tell()


@pytest.fixture
def api() -> falcon.testing.TestClient:
    store = ModelStore(limits=Limits())
    store.commit(Txn([Put(f"k{number}", DATA) for number in range(3)]))
    return falcon.testing.TestClient(create_app(store, ServerSettings(sending_bytes_max=1)))


@pytest.mark.parametrize("repeat", range(2))
def test_large_answers_come_whole_one_after_the_other(api: falcon.testing.TestClient, repeat: int):
    for _ in range(repeat + 1):
        page = api.simulate_get("/v1/keys?include=value")
        many = api.simulate_post("/v1/mget", json={"keys": ["k0", "k1"]})
        assert len(page.json["keys"]) == 3
        assert len(many.json["items"]) == 2
        assert page.headers["Content-Length"] == str(len(page.content))
