"""Test that a plain mget is answered if its body came whole, and given on otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

pytest.importorskip("granian")
from rundlet_server.server.granian.arrivals import Arrivals
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.connections import ConnectionCloser
from rundlet_server.server.granian.mgets import Mgets
from rundlet_server.server.granian.waiting import LoopWaits
from tests.server.granian.test_writes import GONE, Request
from tests.support.processes.servers import wait_for

BODY = b'{"keys":["a"]}'
WHOLE: Message = {"type": "http.request", "body": BODY, "more_body": False}
PART: Message = {"type": "http.request", "body": BODY[:5], "more_body": True}
WRONG: Message = {"type": "http.request", "body": b"{" * len(BODY), "more_body": False}


class Reading:
    """``Mgets`` over a store with one value.

    Attributes:
        left: the requests that were left to the loop.
    """

    def __init__(self, folder: Path) -> None:
        self.store = open_log_store(folder, StoreSettings(sync="never"))
        self.store.commit(Txn([Put("a", b"1")]))
        self.waits = LoopWaits()
        self.arrivals = Arrivals(Patience(5.0, bool), ConnectionCloser(), bool)
        app = create_app(self.store, waits=self.waits)
        self.mgets = Mgets(app.quick_mgets, self.arrivals)
        self.left: list[Request] = []

    def ask(self, message: Message | None) -> Any:
        request: Any = mget(message)
        assert self.mgets.begin(request, self.left.append)
        request.part.come()
        wait_for(lambda: not self.arrivals.in_flight)
        return request

    def close(self) -> None:
        self.waits.end()
        self.store.close()


def mget(message: Message | None) -> Any:
    request = Request(message)
    request.scope["raw_path"] = b"/v1/mget"
    size = b"%d" % len(BODY)
    more = [(b"content-length", size), (b"content-type", b"application/json")]
    request.scope["headers"] = [(b"host", b"localhost"), *more]
    return request


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    with contextlib.closing(Reading(tmp_path / "data")) as reading:
        yield reading


def test_mget_whose_body_comes_whole_is_answered(reading: Reading):
    request = reading.ask(WHOLE)

    assert not reading.left
    assert request.sent[0]["status"] == 200
    assert json.loads(request.sent[1]["body"])["items"][0]["base64"] == "MQ=="
    assert request.ended.is_set()


@pytest.mark.parametrize("message", [PART, GONE, WRONG])
def test_mget_that_is_not_plain_is_left_to_the_loop_with_what_has_come(
    reading: Reading, message: Message
):
    request = reading.ask(message)

    assert reading.left == [request]
    assert request.scope["arrived"] is message
    assert not request.sent


def test_mget_whose_body_never_comes_is_ended(reading: Reading):
    request = reading.ask(None)

    assert not reading.left
    assert not request.sent


@pytest.mark.parametrize("name", ["raw_path", "query_string"])
def test_other_requests_are_not_begun(reading: Reading, name: str):
    request = mget(WHOLE)
    request.scope[name] = b"/v1/txn"

    assert not reading.mgets.begin(request, reading.left.append)
    assert request.part.callback is None
