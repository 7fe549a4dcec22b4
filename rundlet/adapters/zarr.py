"""A store for zarr: arrays and groups whose chunks are keys.

import zarr
from rundlet.adapters.zarr import RundletStore

array = zarr.create_array(RundletStore("rundlet://127.0.0.1:8000/field"), data=numbers)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from rundlet.adapters.places import (
    refuse_token,
    shared_client,
    split_address,
    token_or_variable,
)
from rundlet.errors import PreconditionFailed
from rundlet.model import KeyInfo

_KEYS_AT_ONCE: Final = 1_000


class RundletStore(Store):
    """The keys with a prefix as a store.

    zarr calls a store from several event loops, and closes it outside of any. So this store sends
    its requests in threads.
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, address: str, *, token: str | None = None, read_only: bool = False) -> None:
        """Make a store; nothing is sent yet.

        Args:
            address: ``rundlet://HOST:PORT/PREFIX``, or ``rundlets://`` for a server with TLS.
            token: by default the value of the variable RUNDLET_TOKEN.
            read_only: refuse every write.
        """
        super().__init__(read_only=read_only)
        url, folder = split_address(address.rstrip("/"))
        self._address = address.rstrip("/")
        self._token = token
        self._prefix = f"{folder}/" if folder else ""
        self.client = shared_client(url, token_or_variable(token))

    def with_read_only(self, read_only: bool = False) -> RundletStore:
        """Return a store of the same keys."""
        return type(self)(self._address, token=self._token, read_only=read_only)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return a value or a part of it; ``None`` if there is none."""
        start, end = _bounds(byte_range)
        value = self.client.get(self._prefix + key, start=start, end=end)
        if value is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(value.data)

    def set_sync(self, key: str, value: Buffer, *, if_absent: bool = False) -> None:
        """Store a value; with ``if_absent``, do nothing if there is one."""
        self._check_writable()
        if not isinstance(value, Buffer):
            message = f"a value is a Buffer, got {type(value).__name__}"  # type: ignore[unreachable] # zarr tries it
            raise TypeError(message)
        try:
            self.client.set(self._prefix + key, value.to_bytes(), if_absent=if_absent)
        except PreconditionFailed:
            return

    def delete_sync(self, key: str) -> None:
        """Remove a value, if there is one."""
        self._check_writable()
        self.client.delete(self._prefix + key)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return a value or a part of it; ``None`` if there is none."""
        return await asyncio.to_thread(
            self.get_sync, key, prototype=prototype, byte_range=byte_range
        )

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return many values or parts of them, requested concurrently."""
        asked = (self.get(key, prototype, byte_range) for key, byte_range in key_ranges)
        return list(await asyncio.gather(*asked))

    async def exists(self, key: str) -> bool:
        """Return whether there is a value."""
        return await asyncio.to_thread(self.client.exists, self._prefix + key)

    async def getsize(self, key: str) -> int:
        """Return the size of a value in bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        info = await asyncio.to_thread(self.client.head, self._prefix + key)
        if info is None:
            raise FileNotFoundError(key)
        return info.size

    async def getsize_prefix(self, prefix: str) -> int:
        """Return the size of all values under a prefix in bytes, from lists of their keys."""
        return sum([info.size async for info in self._scan(self._prefix + prefix)])

    async def set(self, key: str, value: Buffer) -> None:
        """Store a value."""
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Store a value unless there is one; of concurrent writers, only one stores it."""
        await asyncio.to_thread(self.set_sync, key, value, if_absent=True)

    async def delete(self, key: str) -> None:
        """Remove a value, if there is one."""
        await asyncio.to_thread(self.delete_sync, key)

    async def delete_dir(self, prefix: str) -> None:
        """Remove all values in a folder."""
        self._check_writable()
        folder = self._folder(prefix)
        if folder:
            await asyncio.to_thread(self.client.delete_prefix, folder)
        else:  # the whole server: the client refuses an empty prefix
            names = (info.key for info in self.client.scan())
            await asyncio.to_thread(self.client.delete_many, names)

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield all keys with a prefix."""
        async for info in self._scan(self._prefix + prefix):
            yield info.key[len(self._prefix) :]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names of the values and folders in a folder, each once."""
        folder = self._folder(prefix)
        seen: set[str] = set()
        async for info in self._scan(folder, delimiter="/"):
            name = info.key[len(folder) :].rstrip("/")
            if name and name not in seen:
                seen.add(name)
                yield name

    def _folder(self, name: str) -> str:
        return f"{self._prefix}{name.rstrip('/')}/" if name.strip("/") else self._prefix

    async def _scan(self, prefix: str, delimiter: str | None = None) -> AsyncIterator[KeyInfo]:
        found = self.client.scan(prefix=prefix, delimiter=delimiter)
        while some := await asyncio.to_thread(_next_of, found):
            for info in some:
                yield info

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RundletStore) and (self._address, self.read_only) == (
            other._address,
            other.read_only,
        )

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self._address

    def __repr__(self) -> str:
        return f"RundletStore({self._address!r})"

    def __getstate__(self) -> dict[str, Any]:
        refuse_token(self._token)
        return {"address": self._address, "read_only": self.read_only}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _bounds(byte_range: ByteRequest | None) -> tuple[int | None, int | None]:
    """Return the bounds as ``Client.get`` takes them."""
    match byte_range:
        case None:
            return None, None
        case RangeByteRequest(start, end):
            return start, end
        case OffsetByteRequest(offset):
            return offset, None
        case SuffixByteRequest(suffix):
            return -suffix, None
    message = f"Unexpected byte_range, got {byte_range!r}."  # type: ignore[unreachable] # see above
    raise ValueError(message)


def _next_of(found: Iterator[KeyInfo]) -> list[KeyInfo]:
    return list(islice(found, _KEYS_AT_ONCE))
