"""A program of a user, which type checkers read: see ``test_types.py``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, assert_type

from rundlet import (
    Add,
    AsyncClient,
    AsyncLock,
    AsyncWatch,
    Client,
    Commit,
    Condition,
    Conflict,
    Event,
    Imported,
    KeyInfo,
    Lock,
    Op,
    Put,
    RolledBack,
    RundletError,
    StoreMapping,
    TooLarge,
    Value,
    Version,
    Watch,
    Written,
)


class Numbers:
    """A codec of a user."""

    content_type = "text/plain"

    def encode(self, value: int) -> bytes:
        """Return the bytes of a number."""
        return str(value).encode()

    def decode(self, data: bytes) -> int:
        """Return the number of bytes."""
        return int(data)


def use(client: Client) -> None:
    """Call what a program calls."""
    value = client.get("k", start=0, end=4, at=datetime.now(UTC))
    assert_type(value, Value | None)
    if value is not None:
        assert_type(value.text, str)
        assert_type(value.expires, datetime | None)
    assert_type(client.get_bytes("k"), bytes | None)
    assert_type(client.set("k", "v", ttl=1.5, if_absent=True), Written)
    assert_type(client.head("k"), KeyInfo | None)
    assert_type(client.exists("k"), bool)
    assert_type(client.touch("k", 60), bool)
    assert_type(client.incr("k"), int)
    assert_type(client.count(prefix="a", match="*"), int)
    assert_type(client.scan(match="*", values=True), Iterator[KeyInfo])
    assert_type(client.mget(["a"]), list[Value | None])
    ops: list[Op] = [Put("a", b""), Add("b", 2)]
    try:
        assert_type(client.txn(ops, conditions=[Condition("a", exists=False)]), Commit)
    except Conflict as ex:
        assert_type(ex.failed[0].revision, int)
    except TooLarge as ex:
        assert_type(ex.limit, int | None)
    except RundletError as ex:
        assert_type(ex.status, int)
    mixed: dict[str, bytes | str] = {"a": b"", "b": "text"}
    assert_type(client.set_many(mixed, progress=print), int)
    assert_type(client.set_many({"b": "text"}), int)
    assert_type(client.set_many([("a", b"")]), int)
    assert_type(client.delete_many(info.key for info in client.scan()), int)
    assert_type(client.delete_prefix("p/"), int)
    assert_type(client.import_(client.export()), Imported)
    assert_type(client.history("k"), Iterator[Version])
    assert_type(client.rollback(7, prefix="p/"), RolledBack)
    with client.watch("p/") as watch:
        assert_type(watch, Watch)
        assert_type(next(watch), Event)
    assert_type(client.wait_for("k"), Value | None)
    with client.lock("l", ttl=10) as lock:
        assert_type(lock, Lock)
        assert_type(lock.token, int)


def use_mappings(client: Client) -> None:
    """Use dicts of each kind."""
    texts = client.mapping("t/")
    assert_type(texts, StoreMapping[str])
    texts["k"] = "v"
    assert_type(texts.pop("k", None), str | None)
    assert_type(client.mapping(codec="bytes"), StoreMapping[bytes])
    assert_type(client.mapping("j/", codec="json")["k"], Any)
    numbers: MutableMapping[str, int] = client.mapping("n/", codec=Numbers())
    assert_type(numbers.setdefault("k", 1), int)
    assert_type([(key, number + 1) for key, number in numbers.items()], list[tuple[str, int]])


async def use_async(client: AsyncClient) -> None:
    """Do the same with asyncio."""
    assert_type(await client.get("k"), Value | None)
    assert_type(await client.set("k", b"v"), Written)
    assert_type(client.scan(prefix="p/"), AsyncIterator[KeyInfo])
    assert_type([info.key async for info in client.scan()], list[str])
    async with aclosing(client.export()) as values:
        async for value in values:
            assert_type(value, Value)
    assert_type(await client.import_(client.export()), Imported)
    assert_type(await client.set_many({"a": b""}), int)
    async with client.watch() as watch:
        assert_type(watch, AsyncWatch)
        async for event in watch:
            assert_type(event, Event)
    async with client.lock("l") as lock:
        assert_type(lock, AsyncLock)
    first, second = await asyncio.gather(client.get("a"), client.exists("b"))
    assert_type(first, Value | None)
    assert_type(second, bool)
