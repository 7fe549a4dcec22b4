"""Test that a client with ``idempotent_retries`` sends writes again, each with a key of its own."""

from __future__ import annotations

import asyncio
import re

import pytest

from rundlet import (
    AsyncClient,
    Client,
    ConnectionFailed,
    OutcomeUnknown,
    Put,
    ServerError,
    Unavailable,
)
from rundlet.calls.call import Pause, Request
from rundlet.sending.retrying import IDEMPOTENCY_KEY, attempts
from rundlet_server.functions.settings import ServerSettings
from tests.client.test_retries import (
    BAD_GATEWAY,
    BREAK_OFF,
    FOUND,
    REFUSED_FOR_NOW,
    STORED,
    ScriptedServer,
    scripted,
)
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served

_LIMITS = b'{"limits":{"idempotency_s":86400.0}}'
REMEMBERS = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_LIMITS), _LIMITS)
OLDER = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"limits":{}}'
FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
KEY = re.compile(rb'\r\nidempotency-key: "([0-9a-f-]{36})"\r\n', re.IGNORECASE)


def keys(server: ScriptedServer) -> list[str | None]:
    """The keys of the requests, in order."""
    found = [KEY.search(request) for request in server.requests]
    return [None if each is None else each[1].decode() for each in found]


def idempotent(server: ScriptedServer, retries: int = 3) -> Client:
    return Client(server.url, retries=retries, idempotent_retries=True)


@pytest.mark.parametrize("lost", [BREAK_OFF, BAD_GATEWAY])
def test_a_write_whose_answer_is_lost_is_sent_again_with_its_key(lost: bytes):
    with scripted(REMEMBERS, lost, STORED) as server, idempotent(server) as client:
        assert client.set("a", b"v").revision == 7

    assert [request.split(b" ")[:2] for request in server.requests] == [
        [b"GET", b"/v1"],
        [b"PUT", b"/v1/kv/a"],
        [b"PUT", b"/v1/kv/a"],
    ]
    asked, first, second = keys(server)
    assert asked is None
    assert first is not None
    assert first == second


def test_each_write_has_a_key_of_its_own_and_the_server_is_asked_once():
    with scripted(REMEMBERS, STORED, STORED, FOUND) as server, idempotent(server) as client:
        client.set("a", b"v")
        client.set("a", b"v")
        client.get("a")

    asked, first, second, read = keys(server)
    assert (asked, read) == (None, None)
    assert first is not None
    assert second is not None
    assert first != second


def test_an_async_client_does_the_same():
    async def write(url: str) -> int:
        async with AsyncClient(url, idempotent_retries=True) as client:
            return (await client.set("a", b"v")).revision

    with scripted(REMEMBERS, BREAK_OFF, STORED) as server:
        assert asyncio.run(write(server.url)) == 7
    assert keys(server)[1] == keys(server)[2]


def test_without_the_option_there_is_no_key_and_no_second_attempt():
    with (
        scripted(BREAK_OFF, STORED) as server,
        Client(server.url) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.set("a", b"v")
    assert keys(server) == [None]


@pytest.mark.parametrize("answer", [OLDER, FOREIGN])
def test_a_server_that_does_not_remember_keys_is_not_written_to(answer: bytes):
    with (
        scripted(answer, STORED) as server,
        idempotent(server) as client,
        pytest.raises(ServerError, match="idempotent_retries"),
    ):
        client.set("a", b"v")
    assert len(server.requests) == 1


def test_a_write_that_is_lost_each_time_is_of_unknown_outcome():
    with (
        scripted(REMEMBERS, BREAK_OFF, BREAK_OFF) as server,
        idempotent(server, retries=1) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.set("a", b"v")


def test_a_refusal_does_not_hide_that_an_answer_was_lost():
    with (
        scripted(REMEMBERS, BREAK_OFF, REFUSED_FOR_NOW) as server,
        idempotent(server, retries=1) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.set("a", b"v")


def test_no_connection_does_not_hide_that_an_answer_was_lost():
    running = attempts(Request("PUT", "/v1/kv/a", True, {IDEMPOTENCY_KEY: '"k"'}), 1)
    next(running)
    assert isinstance(running.throw(OutcomeUnknown("lost")), Pause)
    next(running)

    with pytest.raises(OutcomeUnknown, match="lost"):
        running.throw(ConnectionFailed("refused"))


def test_a_refusal_alone_is_no_unknown_outcome():
    with (
        scripted(REMEMBERS, REFUSED_FOR_NOW, REFUSED_FOR_NOW) as server,
        idempotent(server, retries=1) as client,
        pytest.raises(Unavailable),
    ):
        client.set("a", b"v")


def test_what_takes_no_key_is_not_sent_again():
    with (
        scripted(BREAK_OFF, STORED) as server,
        idempotent(server) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.compact()
    assert keys(server) == [None]


def test_writes_of_every_kind_go_to_a_real_server():
    store = ModelStore()
    with served(store, ServerSettings()) as url, Client(url, idempotent_retries=True) as client:
        to = client.set("a", b"one").revision
        assert client.incr("n", 2) == 2
        client.txn([Put("a", b"two")])
        client.rollback(to=to, keys=["a"])
        assert client.get_bytes("a") == b"one"
        assert client.delete("n")
