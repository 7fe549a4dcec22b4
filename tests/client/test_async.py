"""Test what only ``AsyncClient`` does: many tasks, loops, cancellation, ``async for``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import pickle
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from rundlet import AsyncClient, Client, ConnectionFailed, Put
from tests.support import PATIENCE_S
from tests.support.processes.servers import RundletServer, free_port

Scenario = Callable[[AsyncClient], Coroutine[None, None, object]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("served")
    with RundletServer("--data", folder / "data", stderr_path=folder / "stderr") as served:
        yield served


@pytest.fixture
def run(server: RundletServer) -> Callable[[Scenario], None]:
    """Run a scenario with a client in a new loop, and see that it leaves nothing behind."""

    async def run_in_loop(scenario: Scenario) -> None:
        async with AsyncClient(server.url) as client:
            async with asyncio.timeout(PATIENCE_S):
                await scenario(client)
                # A generator that was left is closed in a task of its own.
                await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    return lambda scenario: asyncio.run(run_in_loop(scenario))


def open_connections(client: AsyncClient) -> list[object]:
    """Return the connections that are in use."""
    pool = client._transport._connections._http._transport._pool
    return [connection for connection in pool.connections if not connection.is_idle()]


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.01)


def test_many_tasks_share_a_client(run):
    async def scenario(client: AsyncClient) -> None:
        await client.delete("n")
        numbers = await asyncio.gather(*(client.incr("n") for _ in range(100)))

        assert sorted(numbers) == list(range(1, 101))

    run(scenario)


# What the first loop left open is closed by the collector, which complains.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_may_be_made_before_its_loop_and_used_in_another(server):
    client = AsyncClient(server.url)

    async def write(value: str) -> str:
        await client.set("loop", value)
        found = await client.get("loop")
        assert found is not None
        return found.text

    async def write_and_close() -> str:
        async with client:
            return await write("b")

    assert asyncio.run(write("a")) == "a"
    assert asyncio.run(write_and_close()) == "b"
    gc.collect()


def test_a_closed_client_sends_nothing(server):
    async def scenario() -> None:
        client = AsyncClient(server.url)
        await client.get("k")
        await client.close()
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.get("k")

    asyncio.run(scenario())


def test_a_read_that_is_cancelled_at_any_moment_leaves_no_connection_in_use(run):
    async def scenario(client: AsyncClient) -> None:
        for step in range(200):
            others = [asyncio.create_task(client.exists("k")) for _ in range(step % 3)]
            cancelled = asyncio.create_task(client.get("k"))
            for _ in range(step % 40):
                await asyncio.sleep(0)
            cancelled.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cancelled

            assert await asyncio.gather(*others) == [False] * len(others)
            assert open_connections(client) == []

    run(scenario)


def test_a_cancelled_read_leaves_no_connection_in_use(run):
    async def scenario(client: AsyncClient) -> None:
        waiting = asyncio.create_task(client.wait_for("never"))
        await until(lambda: len(open_connections(client)) == 1)

        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert open_connections(client) == []
        assert await client.exists("never") is False

    run(scenario)


def test_a_cancelled_task_that_iterates_can_go_on(run):
    async def scenario(client: AsyncClient) -> None:
        async with client.watch("c/") as watch:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.2)
            assert open_connections(client) == []
            await client.txn([Put("c/1", b""), Put("c/2", b"")])

            assert [(await anext(watch)).key for _ in range(2)] == ["c/1", "c/2"]

    run(scenario)


def test_leaving_a_watch_frees_its_connection(run):
    async def scenario(client: AsyncClient) -> None:
        async with client.watch("w/", values=True) as watch:
            written = await client.set("w/k", "1")
            async for event in watch:
                assert (event.key, event.data, event.revision) == ("w/k", b"1", written.revision)
                assert watch.position == written.revision
                break
            assert len(open_connections(client)) == 1

        assert open_connections(client) == []
        assert [event async for event in watch] == []

    run(scenario)


def test_another_task_ends_a_watch(run):
    async def scenario(client: AsyncClient) -> None:
        watch = client.watch("nothing/")

        async def all_keys() -> list[str]:
            return [event.key async for event in watch]

        iterating = asyncio.create_task(all_keys())
        await until(lambda: len(open_connections(client)) == 1)
        await asyncio.sleep(0.05)
        await watch.close()

        assert await iterating == []
        assert open_connections(client) == []

    run(scenario)


def test_a_watch_goes_on_from_a_revision(run):
    async def scenario(client: AsyncClient) -> None:
        since = (await client.set("r/0", "")).revision
        await client.set("r/1", "")

        async with client.watch("r/", since=since) as watch:
            assert (await anext(watch)).key == "r/1"

    run(scenario)


def test_a_watch_goes_on_after_a_restart(tmp_path: Path):
    async def scenario() -> list[str]:
        arguments = ("--data", tmp_path / "data", "--port", str(port))
        with RundletServer(*arguments, stderr_path=tmp_path / "first") as first:
            client = AsyncClient(first.url)
            watch = client.watch()
            async with watch:
                await client.set("a", "1")
                seen = [(await anext(watch)).key]
                first.process.kill()
                first.wait()
                following = asyncio.create_task(anext(watch))
                await asyncio.sleep(0.2)
                with RundletServer(*arguments, stderr_path=tmp_path / "second"):
                    await client.set("b", "2")
                    seen.append((await following).key)
            await client.close()
        return seen

    port = free_port()
    assert asyncio.run(scenario()) == ["a", "b"]


def test_a_watch_that_did_not_begin_can_begin_later(tmp_path: Path):
    async def scenario() -> None:
        port = free_port()
        async with AsyncClient(f"http://127.0.0.1:{port}", retries=0) as client:
            watch = client.watch(since=0)
            for _ in range(2):
                with pytest.raises(ConnectionFailed):
                    await anext(watch)
            arguments = ("--data", tmp_path / "data", "--port", str(port))
            with RundletServer(*arguments, stderr_path=tmp_path / "stderr"):
                await client.set("k", "v")
                assert (await anext(watch)).key == "k"
                await watch.close()

    asyncio.run(scenario())


def test_a_change_is_waited_for(run):
    async def scenario(client: AsyncClient) -> None:
        await client.set("one", "1")
        waiting = asyncio.create_task(client.wait_for("one"))
        while not waiting.done():  # the first may come before it knows of "1"
            await client.set("one", "2")
            await asyncio.sleep(0.1)
        value = await waiting

        assert value is not None
        assert value.text == "2"
        with pytest.raises(TimeoutError):
            await client.wait_for("one", timeout_s=0.1)

    run(scenario)


def test_an_export_that_is_left_frees_its_connection(run):
    async def scenario(client: AsyncClient) -> None:
        await client.set_many({f"e/{number:04}": bytes(10_000) for number in range(1_000)})

        async with aclosing(client.export(prefix="e/")) as values:
            async for value in values:
                assert value.key == "e/0000"
                break
        assert open_connections(client) == []
        async for _ in client.export_bytes(prefix="e/"):
            break
        await until(lambda: open_connections(client) == [])

    run(scenario)


def test_a_store_is_copied_by_async_export_and_import(run):
    async def scenario(client: AsyncClient) -> None:
        async def renamed() -> AsyncIterator[Put]:
            async for value in client.export(prefix="from/"):
                yield Put("to/" + value.key, value.data)

        async def pairs() -> AsyncIterator[tuple[str, bytes]]:
            for number in range(100):
                yield f"from/{number}", b"v"

        assert await client.set_many(pairs()) == 100
        assert (await client.import_(renamed())).imported == 100
        keys = (info.key async for info in client.scan(prefix="to/"))
        assert await client.delete_many(keys) == 100

    run(scenario)


def test_an_async_client_is_not_pickled(server):
    with pytest.raises(TypeError, match="AsyncClient there"):
        pickle.dumps(AsyncClient(server.url))


def test_more_watches_than_connections_leave_other_requests_alone():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/v1/changes" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def scenario() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with asyncio.timeout(PATIENCE_S), AsyncClient(f"http://{host}:{port}") as client:
            follow = client._transport.follow
            followed = [await follow("/v1/changes", {}, read_s=PATIENCE_S) for _ in range(120)]

            assert all(await asyncio.gather(*(client.exists(str(n)) for n in range(300))))

            connections = client._transport._connections._http._transport._pool.connections
            assert len(connections) <= 120 + 100
            for response in followed:
                await response.aclose()
        server.close()
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    asyncio.run(scenario())


# --- both clients are one ------------------------------------------------------------------


def methods_of(kind: type) -> dict[str, Callable[..., object]]:
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name: found for name, found in members if not name.startswith("_")}


def test_both_clients_have_the_same_methods():
    only_sync = {"mapping"}  # there is no MutableMapping for asyncio
    assert methods_of(Client).keys() - only_sync == methods_of(AsyncClient).keys()


@pytest.mark.parametrize("name", methods_of(AsyncClient))
def test_methods_of_both_clients_agree(name: str):
    sync, other = methods_of(Client)[name], methods_of(AsyncClient)[name]
    ours, theirs = inspect.signature(sync), inspect.signature(other)

    assert list(ours.parameters) == list(theirs.parameters)
    for parameter, its in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
        assert (parameter.default, parameter.kind) == (its.default, its.kind)
        if parameter.name != "self":
            its_annotation = re.sub(r" \| AsyncIterable\[.*\]$", "", its.annotation)
            assert parameter.annotation == its_annotation
    assert first_line(sync) == first_line(other)
    returned = str(theirs.return_annotation).removeprefix("Async")
    expected = ours.return_annotation.replace("Iterator[", "Generator[")
    assert returned in {
        ours.return_annotation,
        expected.replace("]", ", None]"),
    }


def first_line(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").partition("\n")[0]
