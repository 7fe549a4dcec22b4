"""Test that a request answered before the event loop gets what Falcon would answer in the loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.validators import EntityTags
from rundlet_server.functions.serving import service_of
from rundlet_server.functions.settings import ConnectionLimits, ServerSettings
from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.interface import Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

pytest.importorskip("granian")
from rundlet_server.server.granian.bridge import Bridge
from rundlet_server.server.granian.waiting import LoopWaits

LIMITS = ConnectionLimits()
PLAIN = (
    *(b"/v1/kv/a", b"/v1/kv64/YQ", b"/v1/kv/described", b"/v1/kv/empty", b"/v1/kv/missing"),
    b"/livez",
)
KNOWN = ("{tag}", "W/{tag}", '"other", {tag}', "*", '"other"', "")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("store")
    with contextlib.closing(open_log_store(folder / "data", StoreSettings(sync="never"))) as store:
        store.commit(Txn([Put("a", b"value", "text/plain")]))
        store.commit(Txn([Put("described", b"value", ttl_s=1_000.0, metadata=(("a", "b"),))]))
        store.commit(Txn([Put("empty", b"")]))
        store.commit(Txn([Put("large", b"l" * (LARGE_VALUE_BYTES + 1))]))
        yield store


class Request:
    """A request as Granian schedules it.

    Attributes:
        sent: the messages of its answer.
        is_done: whether it was ended.
    """

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.proto = self
        self.sent: list[dict[str, object]] = []
        self.send = self.sent.append
        self.is_done = False

    def done(self) -> None:
        self.is_done = True

    def err(self, error: BaseException) -> None:
        raise error


class Asked:
    """A bridge, and the requests that it gets.

    Attributes:
        left: the requests that the bridge itself leaves to the loop.
    """

    def __init__(self, store: Store, *, is_ending: bool = False) -> None:
        self.left: list[object] = []
        settings = ServerSettings(cors_origins=("https://app.example",))
        self._waits = LoopWaits(1)
        app = create_app(store, settings, waits=self._waits)
        service = service_of(app, store, settings.limits)
        app.quick = None  # what comes to the loop comes to Falcon
        self._bridge = Bridge(
            service, self._waits, LIMITS, receiving_bytes_max=1, is_ending=lambda: is_ending
        )

    def at_once(self, scope: Any) -> list[dict[str, object]]:
        """Return what is sent before the loop has a turn; nothing if the loop is to answer."""
        request = Request(scope)
        is_taken = self._bridge.take(request, self.left.append)
        assert is_taken == request.is_done == bool(request.sent)
        return request.sent

    def in_loop(self, scope: Any) -> list[dict[str, object]]:
        """Return what Falcon answers in the loop."""
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        async def answer() -> None:
            self._waits.begin(None)
            await self._bridge.answer(scope, asyncio.Future, send)
            self._waits.end()

        asyncio.run(answer())
        return sent


def scope_of(
    method: str, path: bytes, *headers: tuple[bytes, bytes], query: bytes = b""
) -> dict[str, object]:
    return {
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "raw_path": path,
        "query_string": query,
        "headers": [(b"host", b"localhost"), *headers],
        "server": ("127.0.0.1", "8080"),
        "client": ("127.0.0.1", "1"),
    }


def without_id(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages without the id of the request, which no two have in common."""
    start, body = sent
    ids = [text for name, text in start["headers"] if name == b"request-id"]
    headers = [(name, text) for name, text in start["headers"] if text not in ids]
    for number in ids:
        body = {**body, "body": body["body"].replace(number, b"")}
    return [{**start, "headers": headers}, body]


@pytest.mark.parametrize("is_ending", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PLAIN)
def test_answer_is_the_same_as_in_the_loop(store: Store, path: bytes, method: str, is_ending: bool):
    entry = store.get(path.decode().rpartition("/")[2])
    tag = EntityTags(store.info.store_id).tag(entry.revision if entry else 1)
    for known in (None, *KNOWN):
        asked = Asked(store, is_ending=is_ending)  # whose ids of requests begin with 1
        given = [] if known is None else [(b"if-none-match", known.format(tag=tag).encode())]
        scope = scope_of(method, path, *given)

        sent = asked.at_once(scope)

        assert without_id(sent) == without_id(asked.in_loop(scope)), known
        assert ((b"connection", b"close") in sent[0]["headers"]) == is_ending


@pytest.mark.parametrize(
    "scope",
    [
        scope_of("GET", b"/v1/kv/large"),
        scope_of("GET", b"/v1/kv/a", (b"range", b"bytes=0-0")),
        scope_of("HEAD", b"/v1/kv/a", (b"if-match", b"*")),
        scope_of("HEAD", b"/v1/kv/a", query=b"rev=1"),
        scope_of("GET", b"/v1/kv/a", (b"origin", b"https://app.example")),
        scope_of("GET", b"/v1/kv/a", (b"x", b"x" * LIMITS.header_bytes_max)),
        scope_of("HEAD", b"/livez", (b"x", b"x" * LIMITS.header_bytes_max)),
        scope_of("GET", b"/livez", query=b"x"),
        scope_of("GET", b"/livez", (b"content-length", b"1")),
        scope_of("GET", b"/livez", (b"origin", b"https://app.example")),
        scope_of("GET", b"/livez/"),
        scope_of("GET", b"/readyz"),
        scope_of("OPTIONS", b"/livez"),
        scope_of("PUT", b"/v1/kv/a"),
    ],
)
def test_what_is_not_plain_waits_for_the_loop(store: Store, scope: dict[str, object]):
    asked = Asked(store)

    assert not asked.at_once(scope)
    assert not asked.left
