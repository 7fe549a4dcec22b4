"""A store for py-key-value-aio, and so for FastMCP and other packages that use it.

    from rundlet.adapters.key_value import RundletStore

    store = RundletStore(address="rundlet://127.0.0.1:8000/apps/bot")
    await store.put("42", {"name": "Ada"}, collection="users", ttl=60)

The key ``apps/bot/users/42`` then has the JSON text ``{"name": "Ada"}``. Any other client can read
it, and the server removes it when it expires.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import (
    BaseContextManagerStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateKeysStore,
    ManagedEntry,
)

from rundlet.adapters.places import split_prefix, token_or_variable
from rundlet.async_client import AsyncClient
from rundlet.model import Value

_JSON: Final = "application/json"
_NAME_BYTES_MAX: Final = 200
"""The longest name of a collection that keys contain unchanged, as the size of keys is limited."""

_TTL_S_MIN: Final = 0.001


class RundletStore(
    BaseEnumerateKeysStore, BaseDestroyCollectionStore, BaseDestroyStore, BaseContextManagerStore
):
    """Values under a prefix, in a folder for each collection.

    ``close`` closes the connections of the store's own client; a given client stays open.
    """

    def __init__(
        self,
        *,
        address: str,
        token: str | None = None,
        client: AsyncClient | None = None,
        default_collection: str | None = None,
        seed: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    ) -> None:
        """Make a store; nothing is sent yet.

        Args:
            address: ``rundlet://HOST:PORT/PREFIX``. ``destroy`` removes all keys with the prefix.
            token: by default the value of the variable RUNDLET_TOKEN.
            client: used instead of an own client; its server and token apply.
            default_collection: the collection of calls that name none.
            seed: values by key by collection, stored before the first use.
        """
        url, self._prefix = split_prefix(address)
        self.client = client or AsyncClient(url, token=token_or_variable(token))
        super().__init__(
            client_provided_by_user=client is not None,
            default_collection=default_collection,
            seed=seed,
            stable_api=True,
        )

    async def _setup(self) -> None:
        if not self._client_provided_by_user:
            self._exit_stack.push_async_callback(self.client.close)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return _entry_of(await self.client.get(self._folder(collection) + key))

    async def _get_managed_entries(
        self, *, collection: str, keys: Sequence[str]
    ) -> list[ManagedEntry | None]:
        folder = self._folder(collection)
        return [_entry_of(each) for each in await self.client.mget([folder + key for key in keys])]

    async def _put_managed_entry(
        self, *, collection: str, key: str, managed_entry: ManagedEntry
    ) -> None:
        name = self._folder(collection) + key
        text, ttl = managed_entry.value_as_json, managed_entry.ttl
        if ttl is not None:
            ttl = max(ttl, _TTL_S_MIN)  # the time may be over since the caller set it
        await self.client.set(name, text, ttl=ttl, content_type=_JSON)

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[ManagedEntry],
        ttl: float | None,
        created_at: datetime,  # noqa: ARG002 - the server sets the time
        expires_at: datetime | None,  # noqa: ARG002 - follows from the time to live
    ) -> None:
        folder = self._folder(collection)
        texts = [entry.value_as_json for entry in managed_entries]
        names = [folder + key for key in keys]
        await self.client.set_many(zip(names, texts, strict=True), ttl=ttl, content_type=_JSON)

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        return await self.client.delete(self._folder(collection) + key)

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        folder = self._folder(collection)
        return await self.client.delete_many(folder + key for key in keys)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        folder = self._folder(collection)
        found = self.client.scan(prefix=folder, limit=limit)
        return [info.key[len(folder) :] async for info in found]

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self.client.delete_prefix(self._folder(collection)) > 0

    async def _delete_store(self) -> bool:
        return await self.client.delete_prefix(self._prefix) > 0

    def _folder(self, collection: str) -> str:
        """Return the prefix of the keys of a collection; each collection has its own.

        ``/`` is escaped because it ends the folder, and ``!`` because it begins the folder of a
        long name.
        """
        name = collection.replace("%", "%25").replace("/", "%2F").replace("!", "%21")
        if len(name.encode()) > _NAME_BYTES_MAX:
            name = "!" + hashlib.sha256(collection.encode()).hexdigest()
        return f"{self._prefix}{name}/"


def _entry_of(value: Value | None) -> ManagedEntry | None:
    if value is None:
        return None
    try:
        members = json.loads(value.data)
    except ValueError as ex:
        raise DeserializationError(f"the value of {value.key!r} is no JSON: {ex}") from ex
    if not isinstance(members, dict):
        raise DeserializationError(f"the value of {value.key!r} is no JSON object")
    return ManagedEntry(value=members, created_at=value.modified, expires_at=value.expires)
