"""Test locks, with both clients."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from rundlet import (
    AsyncClient,
    AsyncLock,
    BadRequest,
    Client,
    Condition,
    Conflict,
    Lock,
    LockLost,
    OutcomeUnknown,
    Put,
)
from rundlet.calls.call import Request
from rundlet.calls.locks import Lease
from rundlet.sending.running import run
from tests.support import PATIENCE_S
from tests.support.models.model import Clock, ModelStore
from tests.support.paces import at_some_pace
from tests.support.processes.servers import RundletServer
from tests.support.wire.served_model import served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("served")
    with RundletServer("--data", folder / "data", stderr_path=folder / "stderr") as served:
        yield served


@pytest.fixture
def client(server: RundletServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def test_only_one_thread_at_a_time_holds_a_lock(client: Client):
    client.set("sum", "0")
    tokens: list[int] = []

    def add_one(_: int) -> None:
        with client.lock("sum.lock", ttl=PATIENCE_S) as lock:
            tokens.append(lock.token)
            value = client.get("sum")
            assert value is not None
            client.set("sum", str(int(value.text) + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, range(12)))

    assert client.get_bytes("sum") == b"12"
    assert tokens == sorted(set(tokens))
    assert not client.exists("sum.lock")


def test_a_lock_that_is_held_is_not_acquired(client: Client):
    with client.lock("held", ttl=PATIENCE_S) as lock:
        other = client.lock("held")

        assert other.acquire(timeout_s=0) is False
        assert other.acquire(timeout_s=0.2) is False
        assert (lock.is_held, other.is_held, other.token) == (True, False, 0)
        with pytest.raises(RuntimeError, match="not reentrant"):
            lock.acquire()
    assert lock.is_held is False
    assert other.acquire(timeout_s=0) is True
    assert other.token > lock.token
    other.release()


def test_a_lock_is_renewed_while_it_is_held(client: Client):
    def attempt(pace: int) -> None:
        with client.lock("renewed", ttl=0.6 * pace) as lock:
            time.sleep(1.5 * pace)

            assert lock.is_held
            assert client.lock("renewed").acquire(timeout_s=0) is False

    at_some_pace(attempt)


def test_a_lock_of_a_holder_that_stopped_is_free_after_its_time(client: Client):
    stopped = client.lock("stopped", ttl=0.5, renew=False)
    assert stopped.acquire()

    other = client.lock("stopped", ttl=PATIENCE_S)
    assert other.acquire(timeout_s=PATIENCE_S)

    assert stopped.is_held is False
    assert other.token > stopped.token
    with pytest.raises(LockLost, match="'stopped' was lost"):
        stopped.release()
    with pytest.raises(LockLost):
        stopped.txn([Put("x", b"")])
    other.release()


def test_a_lock_that_is_lost_ends_its_block_with_an_error(client: Client):
    with pytest.raises(LockLost), client.lock("deleted", ttl=PATIENCE_S):
        client.delete("deleted")

    def fail() -> None:
        with client.lock("deleted", ttl=PATIENCE_S):
            client.delete("deleted")
            raise KeyError

    with pytest.raises(KeyError):
        fail()


def test_a_transaction_of_the_holder_is_fenced(client: Client):
    def attempt(pace: int) -> None:
        with client.lock("fence", ttl=0.6 * pace) as lock:
            for number in range(20):
                lock.txn([Put("fenced", str(number).encode())])
                time.sleep(0.05 * pace)
            with pytest.raises(Conflict):
                lock.txn([Put("fenced", b"x")], conditions=[Condition("fenced", exists=False)])

    at_some_pace(attempt)

    assert client.get_bytes("fenced") == b"19"


def test_a_lock_with_no_time_is_refused(client: Client):
    with pytest.raises(BadRequest, match="more than 0"):
        client.lock("k", ttl=0)


def test_a_waiter_is_woken_by_the_release(client: Client):
    lock = client.lock("woken", ttl=PATIENCE_S * 10)
    lock.acquire()
    timer = threading.Timer(0.2, lock.release)
    timer.start()

    other = client.lock("woken", ttl=PATIENCE_S)

    assert other.acquire(timeout_s=PATIENCE_S)
    timer.join()
    other.release()


def test_a_lock_that_is_released_while_it_is_looked_at_is_acquired_at_once(client: Client):
    client.set("looked", "another holder")
    transport, send = client._transport, client._transport.send

    def release_before(request: Request):
        if request.method == "GET" and request.path == "/v1/kv/looked":
            del transport.send
            client.delete("looked")
        return send(request)

    transport.send = release_before
    began_s = time.monotonic()

    assert client.lock("looked", ttl=PATIENCE_S, renew=False).acquire(timeout_s=PATIENCE_S)

    assert time.monotonic() - began_s < PATIENCE_S / 2


# --- writes of unknown outcome -------------------------------------------------------------


@contextmanager
def losing(client: Client, method: str, path: str, *, applied: bool) -> Iterator[list[Request]]:
    """Lose the first answer to a request, which was applied or not."""
    transport = client._transport
    send, lost = transport.send, []

    def lose(request: Request):
        if not lost and request.method == method and request.path.startswith(path):
            lost.append(request)
            if applied:
                send(request)
            raise OutcomeUnknown("planted")
        return send(request)

    transport.send = lose
    try:
        yield lost
    finally:
        del transport.send
    assert lost


@pytest.mark.parametrize("applied", [True, False])
def test_an_acquisition_of_unknown_outcome_is_found(client: Client, applied: bool):
    lock = client.lock("unknown", ttl=PATIENCE_S, renew=False)

    began_s = time.monotonic()
    with losing(client, "PUT", "/v1/kv/unknown", applied=applied):
        assert lock.acquire(timeout_s=PATIENCE_S)

    assert time.monotonic() - began_s < PATIENCE_S / 2
    assert lock.is_held
    assert lock.token > 0
    lock.release()
    assert not client.exists("unknown")


@pytest.mark.parametrize("applied", [True, False])
def test_a_renewal_and_a_release_of_unknown_outcome_are_found(client: Client, applied: bool):
    lease = Lease("lease", 30)
    assert run(lease.acquire(0, 1), client._transport.send)

    with losing(client, "POST", "/v1/txn", applied=applied):
        assert run(lease.renew(), client._transport.send)
    with losing(client, "POST", "/v1/txn", applied=applied):
        assert run(lease.release(), client._transport.send)

    assert not client.exists("lease")
    assert run(lease.renew(), client._transport.send) is False


def test_a_lease_is_lost_when_its_time_is_over():
    clock = Clock()
    with served(ModelStore(clock)) as url, Client(url) as client:
        lease = Lease("k", 30)
        assert run(lease.acquire(0, 1), client._transport.send)
        clock.advance(31)

        assert run(lease.renew(), client._transport.send) is False
        assert lease.left_s <= 0
        assert run(lease.release(), client._transport.send) is False


# --- asyncio -------------------------------------------------------------------------------


def test_only_one_task_at_a_time_holds_a_lock(server: RundletServer):
    async def scenario() -> None:
        async with AsyncClient(server.url) as client:
            running, tokens = 0, []

            async def work() -> None:
                nonlocal running
                async with client.lock("tasks", ttl=PATIENCE_S) as lock:
                    assert isinstance(lock, AsyncLock)
                    running += 1
                    tokens.append(lock.token)
                    await asyncio.sleep(0.01)
                    assert running == 1
                    await lock.txn([Put("tasks/last", str(lock.token).encode())])
                    running -= 1

            await asyncio.gather(*(work() for _ in range(10)))
            assert tokens == sorted(set(tokens))
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_task_renews_a_lock_and_one_that_is_cancelled_releases_it(server: RundletServer):
    async def scenario(pace: int) -> None:
        async with AsyncClient(server.url) as client:
            acquired = asyncio.Event()

            async def hold() -> None:
                async with client.lock("cancelled", ttl=0.6 * pace) as lock:
                    acquired.set()
                    await asyncio.sleep(1.5 * pace)
                    assert lock.is_held
                    acquired.clear()
                    await asyncio.sleep(PATIENCE_S)

            holding = asyncio.create_task(hold())
            await acquired.wait()
            waiting = asyncio.create_task(client.lock("cancelled").acquire())
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            while acquired.is_set() and not holding.done():
                await asyncio.sleep(0.05)
            holding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await holding

            assert not await client.exists("cancelled")
            with pytest.raises(LockLost):
                async with client.lock("cancelled"):
                    await client.delete("cancelled")
            assert await client.lock("cancelled", renew=False).acquire(timeout_s=0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await client.delete("cancelled")

    at_some_pace(lambda pace: asyncio.run(scenario(pace)))


def test_locks_of_both_clients_exclude_each_other(server: RundletServer, tmp_path: Path):
    async def try_it() -> bool:
        async with AsyncClient(server.url) as client:
            return await client.lock("both").acquire(timeout_s=0)

    with Client(server.url) as client, client.lock("both", ttl=PATIENCE_S) as lock:
        assert isinstance(lock, Lock)
        assert asyncio.run(try_it()) is False
