"""Test the changes that the feeds of an event loop share: what is in memory, and until when."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rundlet_server.functions.waits import Watched
from rundlet_server.server.granian import recent as recent_module
from rundlet_server.server.granian import watching as watching_module
from rundlet_server.server.granian.recent import RecentChanges
from rundlet_server.server.granian.watching import ChangeWatch
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Changes
from tests.support import PATIENCE_S
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.processes.servers import wait_for


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    settings = StoreSettings(files=UnsyncedFiles(), maintain_inline=False)
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        yield store


def put(store: LogStore, *keys: str) -> None:
    store.commit(Txn(then=[Put(key, b"1") for key in keys]))


def watched(since: int, prefix: str = "", *, is_over: bool = False) -> Watched:
    return Watched(prefix, since, lambda: is_over)


def run(store: LogStore, do: Callable[[ChangeWatch], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await do(ChangeWatch(store, asyncio.get_running_loop()))

    asyncio.run(main())


async def next_of(watch: ChangeWatch, since: int, prefix: str = "") -> tuple[list[str], int]:
    page = await watch.next_changes(watched(since, prefix), PATIENCE_S)
    assert page is not None
    return [event.key for event in page.events], page.next_since


def test_all_requests_share_one_read_of_the_log(store: LogStore, monkeypatch: pytest.MonkeyPatch):
    reads = 0
    read = store.changes

    def counted(*arguments: int, **options: int) -> Changes:
        nonlocal reads
        reads += 1
        return read(*arguments, **options)  # type: ignore[arg-type] # of the only caller

    monkeypatch.setattr(store, "changes", counted)

    async def follow(watch: ChangeWatch) -> None:
        waiting = [asyncio.create_task(next_of(watch, 0, "a")) for _ in range(100)]
        await asyncio.sleep(0)
        put(store, "a", "b")
        assert await asyncio.gather(*waiting) == [(["a"], 1)] * 100

        put(store, "c")
        assert await next_of(watch, 1, "c") == (["c"], 2)
        assert await next_of(watch, 0, "b") == (["b"], 2)  # it was busy meanwhile

    run(store, follow)

    assert reads == 2


def test_request_behind_what_is_in_memory_reads_the_log(store: LogStore):
    put(store, "a")

    async def follow(watch: ChangeWatch) -> None:
        assert await watch.next_changes(watched(0), PATIENCE_S) is None

    run(store, follow)


def test_position_advances_past_changes_of_other_keys(store: LogStore):
    is_over = False

    async def follow(watch: ChangeWatch) -> None:
        nonlocal is_over
        until_it_is_over = Watched("a", 0, lambda: is_over)
        waiting = asyncio.create_task(watch.next_changes(until_it_is_over, PATIENCE_S))
        other = asyncio.create_task(next_of(watch, 0, "b"))
        await asyncio.sleep(0)
        put(store, "b")
        assert await other == (["b"], 1)

        is_over = True
        page = await waiting
        assert page is not None
        assert (page.events, page.next_since) == ([], 1)

    run(store, follow)


def test_erased_value_is_not_in_memory(store: LogStore):
    async def follow(watch: ChangeWatch) -> None:
        waiting = asyncio.create_task(next_of(watch, 0))
        await asyncio.sleep(0)
        put(store, "secret")
        assert await waiting == (["secret"], 1)
        put(store, "other")

        store.erase("secret")

        page = await watch.next_changes(watched(0), PATIENCE_S)
        assert page is not None
        assert [(event.kind, event.key) for event in page.events] == [
            ("put", "other"),
            ("erase", "secret"),
        ]

    run(store, follow)


def test_erasure_that_is_still_to_be_read_keeps_changes_back(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
):
    read = store.changes

    def commit_by_commit(since: int, **_: int) -> Changes:
        return read(since, until=since + 1)

    monkeypatch.setattr(store, "changes", commit_by_commit)

    async def follow(watch: ChangeWatch) -> None:
        waiting = asyncio.create_task(next_of(watch, 0))
        await asyncio.sleep(0)
        put(store, "secret")
        assert await waiting == (["secret"], 1)
        put(store, "other")
        store.erase("secret")

        page = await watch.next_changes(watched(0), PATIENCE_S)
        assert page is not None
        assert [event.kind for event in page.events if event.key == "secret"] == ["erase"]

    run(store, follow)


def test_pages_are_those_of_the_log(store: LogStore):
    put(store, "b", "c", "a")
    put(store, "a")
    put(store, "c", "b")
    recent = RecentChanges(0)
    recent.add(store.changes(0, limit=100))

    for prefix in ("", "a", "b", "c", "d"):
        for since in range(4):
            assert (
                recent.page(prefix, since).events
                == store.changes(since, prefix=prefix, limit=100).events
            )


def test_request_that_is_woken_later_misses_no_change(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
):
    told = 0
    call = ChangeWatch._call

    def counted(watch: ChangeWatch, *arguments: object) -> None:
        nonlocal told
        call(watch, *arguments)  # type: ignore[arg-type] # of the only caller
        told += 1

    monkeypatch.setattr(ChangeWatch, "_call", counted)
    monkeypatch.setattr(watching_module, "_WOKEN_AT_ONCE", 1)
    others = [f"{number}/" for number in range(20)]

    def commit_and_let_the_thread_tell(*keys: str) -> None:
        before = told
        put(store, *keys)
        wait_for(lambda: told > before)  # the loop does not run meanwhile

    async def follow(watch: ChangeWatch) -> None:
        for prefix in others:
            asyncio.create_task(next_of(watch, 0, prefix))  # noqa: RUF006 # ends with the loop
        waiting = asyncio.create_task(next_of(watch, 0, "key"))
        await asyncio.sleep(0)
        commit_and_let_the_thread_tell("key", *others)
        commit_and_let_the_thread_tell("key")

        keys, since = await waiting

        if since < 2:
            keys += (await next_of(watch, since, "key"))[0]
        assert keys == ["key", "key"]

    run(store, follow)


def test_request_that_is_over_is_woken(store: LogStore):
    async def follow(watch: ChangeWatch) -> None:
        page = await watch.next_changes(watched(0, is_over=True), PATIENCE_S * 2)
        assert page is not None
        assert (page.events, page.next_since) == ([], 0)

    run(store, follow)


@pytest.mark.parametrize(
    "failure", [Damaged("segment", 0, "it was changed"), OSError(errno.EIO, "I/O error")]
)
def test_log_that_cannot_be_read_wakes_requests_to_look_until_it_can(
    store: LogStore, monkeypatch: pytest.MonkeyPatch, failure: Exception
):
    def fail(*_: int, **__: int) -> Changes:
        raise failure

    async def follow(watch: ChangeWatch) -> None:
        with monkeypatch.context() as failing:
            failing.setattr(store, "changes", fail)
            waiting = asyncio.create_task(watch.next_changes(watched(0), PATIENCE_S))
            await asyncio.sleep(0)
            put(store, "a")
            assert await waiting is None

        waiting = asyncio.create_task(watch.next_changes(watched(1, "b"), PATIENCE_S))
        await asyncio.sleep(0)
        put(store, "b")
        page = await waiting
        assert page is None or [event.key for event in page.events] == ["b"]

    run(store, follow)


def test_no_more_than_so_many_events_stay_in_memory(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recent_module, "EVENTS_MAX", 3)
    recent = RecentChanges(0)
    put(store, "a", "b")
    put(store, "c", "d")
    put(store, "e")

    recent.add(store.changes(0))
    whole = recent.page("", 0)
    recent.trim()

    assert len(whole.events) == 5
    assert recent.start == 1  # commits stay whole
    assert [event.key for event in recent.page("", 1).events] == ["c", "d", "e"]
