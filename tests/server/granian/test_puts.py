"""Test that a plain PUT is committed only if its body came whole, and given on otherwise."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

pytest.importorskip("granian")
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.puts import LoopPuts
from rundlet_server.server.granian.waiting import LoopWaits

WHOLE: Message = {"type": "http.request", "body": b"0123", "more_body": False}
PART: Message = {"type": "http.request", "body": b"01", "more_body": True}
REST: Message = {"type": "http.request", "body": b"23", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


def answered(folder: Path, messages: list[Message], *, is_ending: bool = False) -> tuple[Any, ...]:
    """Put a value whose body comes in ``messages``.

    Returns:
        What was sent, what is left to receive, and the value in the store.
    """
    sent: list[dict[str, Any]] = []
    scope: Any = {
        "raw_path": b"/v1/kv/a",
        "headers": [(b"host", b"localhost"), (b"content-length", b"4")],
        "client": ("127.0.0.1", "1"),
    }

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def put() -> list[Message]:
        waits = LoopWaits()
        waits.begin(store)
        coming = iter(messages)

        def receive() -> asyncio.Future[Message]:
            future = asyncio.get_running_loop().create_future()
            future.set_result(next(coming))
            return future

        puts = LoopPuts(app.quick_puts, waits, Patience(5.0, bool), lambda: is_ending)
        left = await puts.answer(scope, receive, send)
        waits.end()
        return [] if left is None else [await left() for _ in messages]

    with contextlib.closing(open_log_store(folder, StoreSettings(sync="never"))) as store:
        app = create_app(store)
        left = asyncio.run(put())
        return sent, left, store.get("a")


def test_put_whose_body_comes_whole_is_committed_and_answered(tmp_path: Path):
    sent, left, entry = answered(tmp_path, [WHOLE])

    assert left == []
    assert entry.value == b"0123"
    assert sent[0]["status"] == 201
    assert dict(sent[0]["headers"])[b"kv-revision"] == b"1"
    assert b"connection" not in dict(sent[0]["headers"])


def test_last_answers_of_a_server_close_their_connections(tmp_path: Path):
    sent, _, _ = answered(tmp_path, [WHOLE], is_ending=True)

    assert dict(sent[0]["headers"])[b"connection"] == b"close"


@pytest.mark.parametrize("messages", [[PART, REST], [PART, GONE], [GONE]])
def test_put_whose_body_does_not_come_at_once_is_given_on_with_all_of_it(
    messages: list[Message], tmp_path: Path
):
    assert answered(tmp_path, messages) == ([], messages, None)
