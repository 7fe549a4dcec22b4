"""Test that a plain PUT is committed only if its body came whole, and given on otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S

pytest.importorskip("granian")
from rundlet_server.server.granian.arrivals import Arrival, Arrivals, take_arrivals
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.committer import Committer
from rundlet_server.server.granian.connections import ConnectionCloser
from rundlet_server.server.granian.writes import Writes

WHOLE: Message = {"type": "http.request", "body": b"0123", "more_body": False}
PART: Message = {"type": "http.request", "body": b"01", "more_body": True}
GONE: Message = {"type": "http.disconnect"}


class Part:
    """A part of a body, as Granian's future."""

    def __init__(self, message: Message | None) -> None:
        self.message = message
        self.callback: Callable[[Any], None] | None = None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callback = callback

    def cancelled(self) -> bool:
        return self.message is None

    def result(self) -> Message | None:
        return self.message

    def come(self) -> None:
        assert self.callback is not None
        self.callback(self)


class Request:
    """A PUT of four bytes, as Granian schedules it."""

    def __init__(self, message: Message | None, refused: str = "") -> None:
        self.scope: Any = {
            "method": "PUT",
            "raw_path": b"/v1/kv/a",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-length", b"4")],
            "client": ("127.0.0.1", "1"),
        }
        self.proto = self
        self.part = Part(message)
        self.sent: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        self._refused = refused

    def receive(self) -> Part:
        return self.part

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == self._refused:
            raise RuntimeError(self._refused)
        self.sent.append(message)

    def done(self) -> None:
        self.ended.set()

    def err(self, error: BaseException) -> None:
        self.errors.append(error)
        self.ended.set()


def unexpected(_do: Callable[[], None]) -> None:
    raise AssertionError("there is no audit trail")


class Putting:
    """``Writes`` over a store.

    Attributes:
        left: the requests that were left to the loop.
    """

    def __init__(self, folder: Path, *, is_ending: bool = False) -> None:
        self.store = open_log_store(folder, StoreSettings(sync="never"))
        self.left: list[Request] = []
        self.patience = Patience(5.0, bool)
        self._loop = asyncio.new_event_loop()
        self._committer = Committer(self.store, self._loop)
        self.arrivals = Arrivals(self.patience, ConnectionCloser(), lambda: is_ending)
        quick_writes = create_app(self.store).quick_writes
        self.writes = Writes(quick_writes, self.commit_for, unexpected, self.arrivals)

    def commit_for(self, *arguments: Any) -> bool:
        self._committer.commit_for(*arguments)
        return True

    def put(self, request: Any) -> Any:
        assert self.writes.begin(request, self.left.append)
        assert len(self.arrivals.in_flight) == 1
        request.part.come()
        assert self.left or request.ended.wait(PATIENCE_S)
        self.close()
        assert not self.arrivals.in_flight
        return request

    def close(self) -> None:
        self._committer.end()
        self._loop.close()


@pytest.fixture
def putting(tmp_path: Path):
    with contextlib.closing(Putting(tmp_path)) as putting:
        yield putting
    putting.store.close()


def test_put_whose_body_comes_whole_is_committed_and_answered(putting):
    request = putting.put(Request(WHOLE))

    assert not putting.left
    assert putting.store.get("a").value == b"0123"
    assert request.sent[0]["status"] == 201
    assert dict(request.sent[0]["headers"])[b"kv-revision"] == b"1"
    assert b"connection" not in dict(request.sent[0]["headers"])
    assert request.sent[1]["type"] == "http.response.body"


def test_last_answers_of_a_server_close_their_connections(tmp_path: Path):
    putting = Putting(tmp_path, is_ending=True)
    request = putting.put(Request(WHOLE))
    putting.store.close()

    assert dict(request.sent[0]["headers"])[b"connection"] == b"close"


@pytest.mark.parametrize("message", [PART, GONE])
def test_put_whose_body_does_not_come_at_once_is_left_to_the_loop_with_its_first_part(
    putting, message: Message
):
    request = putting.put(Request(message))

    assert putting.left == [request]
    assert request.scope["arrived"] is message
    assert not request.sent
    assert putting.store.get("a") is None


def test_put_whose_body_never_comes_is_ended(putting):
    request = putting.put(Request(None))

    assert not putting.left
    assert not request.sent
    assert not putting.patience._waits


@pytest.mark.parametrize("refused", ["http.response.start", "http.response.body"])
def test_put_whose_answer_cannot_be_sent_is_ended_with_the_error(putting, refused: str):
    request = putting.put(Request(WHOLE, refused))

    assert [str(error) for error in request.errors] == [refused]
    assert not putting.left


def test_delete_is_committed_and_answered_without_a_body(putting):
    putting.store.commit(Txn([Put("a", b"0123")]))
    request = Request(WHOLE)
    request.scope |= {"method": "DELETE", "headers": [(b"host", b"localhost")]}

    assert putting.writes.begin(request, putting.left.append)
    assert request.ended.wait(PATIENCE_S)
    putting.close()

    assert request.part.callback is None
    assert request.sent[0]["status"] == 204
    assert putting.store.get("a") is None
    assert not putting.arrivals.in_flight


def test_delete_that_fails_before_its_commit_is_not_in_flight(putting):
    def fail(*_: object) -> bool:
        raise RuntimeError

    putting.writes.commit_for = fail
    request = Request(WHOLE)
    request.scope |= {"method": "DELETE", "headers": [(b"host", b"localhost")]}

    with pytest.raises(RuntimeError):
        putting.writes.begin(request, putting.left.append)

    assert not putting.arrivals.in_flight


def test_put_that_fails_before_its_commit_is_left_to_the_loop(putting):
    def fail(*_: object) -> bool:
        raise RuntimeError

    putting.writes.commit_for = fail
    request = putting.put(Request(WHOLE))

    assert putting.left == [request]
    assert request.scope["arrived"] is WHOLE


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_loop_calls_a_put_in_the_thread_that_tells_of_its_body(name: str):
    loop = pytest.importorskip(name).new_event_loop()
    calls: list[object] = []
    take_arrivals(loop)

    class Told(Arrival):
        def __init__(self) -> None:
            pass

        def take(self, body: bytes) -> bool:
            return bool(body)

        def __call__(self, part: object) -> None:
            calls.append(part)

    loop.call_soon_threadsafe(calls.append, "later")
    loop.call_soon_threadsafe(Told(), "at once", context=None)
    before = list(calls)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    assert before == ["at once"]
    assert calls == ["at once", "later"]
