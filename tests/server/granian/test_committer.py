"""Test that a commit that fails leaves nothing behind that only the garbage collector frees.

Its exception refers to a view of the store, which keeps files open that compaction has removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.serving import service_of
from rundlet_server.functions.settings import ConnectionLimits, ServerSettings
from rundlet_server.storage.errors import DiskFull
from rundlet_server.storage.files import RealFile
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.without_collector import without_collector

pytest.importorskip("granian")
from rundlet_server.server.granian.bridge import Bridge
from rundlet_server.server.granian.committer import Committer
from rundlet_server.server.granian.waiting import LoopWaits

TXN = Txn([Put("a", b"1")])


class View:
    """What an exception refers to."""


class FailingStore:
    """Refuses every transaction, and lets the test see whether the reason is still there.

    Attributes:
        views: one for each exception.
    """

    def __init__(self) -> None:
        self.views: list[weakref.ref[View]] = []

    def commit_group(self, txns: Sequence[Txn]) -> list[Exception]:
        return [self._refusal() for _ in txns]

    def _refusal(self) -> Exception:
        try:
            self._refuse()
        except DiskFull as ex:
            return ex

    def _refuse(self) -> NoReturn:
        view = View()
        self.views.append(weakref.ref(view))
        raise DiskFull("the disk is full")


def test_refusals_are_freed_when_all_are_told():
    store: Any = FailingStore()

    async def ask() -> list[str]:
        loop = asyncio.get_running_loop()
        committer = Committer(store, loop)
        told: list[str] = []
        committer.commit_for(TXN, lambda outcome: told.append(type(outcome).__name__))
        futures = [committer.submit(TXN) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            told += [type(await future).__name__ for future in futures]
        futures.clear()
        # The thread waits again once it has taken another one, so nothing is in work.
        async with asyncio.timeout(PATIENCE_S):
            await committer.submit(TXN)
        committer.end()
        return told

    with without_collector():
        told = asyncio.run(ask())
        left = [view for view in store.views if view() is not None]

    assert told == ["DiskFull"] * 4
    assert not left


def refuse(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "no space")


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[DiskFull]]:
    made: list[weakref.ref[DiskFull]] = []
    init = DiskFull.__init__

    def noted(self: DiskFull, *arguments: Any) -> None:
        init(self, *arguments)
        made.append(weakref.ref(self))

    monkeypatch.setattr(DiskFull, "__init__", noted)
    return made


@pytest.mark.parametrize("odd", [(), ((b"if-none-match", b"*"),), ((b"x-odd", b"1"),)])
def test_request_that_is_refused_by_the_disk_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusals: list[Any],
    odd: tuple[tuple[bytes, bytes], ...],
):
    scope: Any = {
        **{"type": "http", "http_version": "1.1", "scheme": "http", "method": "PUT"},
        **{"server": ("127.0.0.1", "80"), "client": ("127.0.0.1", "1")},
        **{"raw_path": b"/v1/kv/a", "query_string": b""},
        "headers": [(b"host", b"localhost"), (b"content-length", b"1"), *odd],
    }
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    def receive() -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        future.set_result({"type": "http.request", "body": b"1", "more_body": False})
        return future

    async def ask(store: Any) -> None:
        waits, settings = LoopWaits(1), ServerSettings()
        service = service_of(create_app(store, settings, waits=waits), store, settings.limits)
        limits = ConnectionLimits()
        bridge = Bridge(service, waits, limits, receiving_bytes_max=1, is_ending=bool)
        waits.begin(store)
        await bridge.answer(scope, receive, send)
        waits.end()

    settings = StoreSettings(sync="always")
    with contextlib.closing(open_log_store(tmp_path, settings)) as store, without_collector():
        monkeypatch.setattr(RealFile, "pwrite", refuse)
        asyncio.run(ask(store))
        left = [refusal for refusal in refusals if refusal() is not None]

    assert sent[0]["status"] == 507
    assert refusals
    assert not left
