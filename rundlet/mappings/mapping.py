"""``StoreMapping``: the keys with a prefix as a dict."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Final, TypeVar, overload

from rundlet.calls import lists, values
from rundlet.calls.call import Call
from rundlet.calls.lists import Range
from rundlet.calls.transfers import Importing
from rundlet.errors import PreconditionFailed
from rundlet.mappings.codecs import Codec
from rundlet.model import KeyInfo, Put
from rundlet.sending.running import run, run_each, run_fed
from rundlet.sending.transport import Transport

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")
_NONE: Final = object()


class StoreMapping(MutableMapping[str, T]):
    """The keys with a prefix and their values, with all methods of a dict; each asks the server.

    Keys come in the order of their UTF-8 bytes. An iteration reads one snapshot, even if other
    clients write meanwhile. ``setdefault``, ``pop`` and ``popitem`` are atomic; ``update`` and
    ``clear`` work in several requests. Every method raises what ``Client`` raises.

    Attributes:
        prefix: begins each key in the store; keys of the mapping do not include it.
        codec: encodes and decodes values.
    """

    def __init__(self, transport: Transport, prefix: str, codec: Codec[T]) -> None:
        """See ``Client.mapping``."""
        self.prefix = prefix
        self.codec = codec
        self._transport = transport
        self._keys = Range(prefix)

    def __getitem__(self, key: str) -> T:
        name = self._name(key)
        value = name and self._do(values.get(name))
        if not value:
            raise KeyError(key)
        return self.codec.decode(value.data)

    def __setitem__(self, key: str, value: T) -> None:
        put = self._put(key, value)
        self._do(values.set_value(put.key, put.value, content_type=put.content_type))

    def __delitem__(self, key: str) -> None:
        name = self._name(key)
        if not name or not self._do(values.delete(name)):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        name = self._name(key)
        return bool(name) and self._do(values.exists(name))

    def __len__(self) -> int:
        return self._do(lists.count(self._keys))

    def __bool__(self) -> bool:
        return next(self._scan(limit=1), None) is not None

    def __iter__(self) -> Iterator[str]:
        return map(self._key, self._scan())

    def __reversed__(self) -> Iterator[str]:
        return map(self._key, self._scan(reverse=True))

    def items(self) -> ItemsView[str, T]:
        """Return a view of the keys and values, which reads them page by page."""
        return _Items(self)

    def values(self) -> ValuesView[T]:
        """Return a view of the values, which reads them page by page."""
        return _Values(self)

    def pairs(self, *, reverse: bool = False) -> Iterator[tuple[str, T]]:
        """Yield keys and values, as ``items`` does; with ``reverse``, in descending order."""
        for info in self._scan(reverse=reverse, with_values=True):
            assert info.value is not None
            yield self._key(info), self.codec.decode(info.value.data)

    def clear(self) -> None:
        """Remove all keys."""
        names = (info.key for info in self._scan())
        run_fed(lists.Deleting(None), names, self._transport.send)

    def update(
        self,
        other: SupportsKeysAndGetItem[str, T] | Iterable[tuple[str, T]] = (),
        /,
        **more: T,
    ) -> None:
        """Store many values, in few requests."""
        pairs = {**dict(other), **more}
        puts = [self._put(key, value) for key, value in pairs.items()]
        run_fed(Importing("replace", None), puts, self._transport.send)

    def setdefault(self, key: str, default: T) -> T:
        """Return the value of a key; store ``default`` if it has none."""
        put = self._put(key, default)
        demand = values.Demand(if_absent=True)
        while True:
            call = values.set_value(
                put.key, put.value, content_type=put.content_type, demand=demand
            )
            try:
                self._do(call)
            except PreconditionFailed:
                value = self._do(values.get(put.key))
                if value is not None:
                    return self.codec.decode(value.data)
            else:
                return default

    @overload
    def pop(self, key: str, /) -> T: ...
    @overload
    def pop(self, key: str, /, default: T) -> T: ...
    @overload
    def pop(self, key: str, /, default: D) -> T | D: ...
    def pop(self, key: str, /, default: object = _NONE) -> object:
        """Remove a key and return its value; if it has none, return ``default``, if given."""
        name = self._name(key)
        while name and (value := self._do(values.get(name))) is not None:
            try:
                if self._do(values.delete(name, values.Demand(if_match=value.etag))):
                    return self.codec.decode(value.data)
            except PreconditionFailed:
                continue
        if default is _NONE:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[str, T]:
        """Remove the first key and return it with its value; ``KeyError`` if there is none."""
        for info in self._scan(limit=1):
            key = self._key(info)
            try:
                return key, self.pop(key)
            except KeyError:  # another client was first
                return self.popitem()
        raise KeyError("the mapping is empty")

    def __repr__(self) -> str:
        codec = type(self.codec).__name__
        url = self._transport.origin.base_url
        return f"<{type(self).__name__} of {self.prefix!r} at {url}, {codec}>"

    def _do(self, call: Call[R]) -> R:
        return run(call, self._transport.send)

    def _scan(
        self, *, limit: int | None = None, reverse: bool = False, with_values: bool = False
    ) -> Iterator[KeyInfo]:
        listing = lists.scan(self._keys, limit=limit, reverse=reverse, values=with_values)
        return run_each(listing, self._transport.send)

    def _put(self, key: object, value: T) -> Put:
        if not isinstance(key, str):
            message = f"keys are text, got {type(key).__name__}"
            raise TypeError(message)
        return Put(self.prefix + key, self.codec.encode(value), self.codec.content_type)

    def _name(self, key: object) -> str:
        """Return the key in the store; empty if ``key`` is not text, so not a key."""
        if isinstance(key, str):
            return self.prefix + key
        hash(key)  # raises TypeError as a dict does
        return ""

    def _key(self, info: KeyInfo) -> str:
        return info.key[len(self.prefix) :]


class _Items(ItemsView[str, T]):
    _mapping: StoreMapping[T]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self._mapping.pairs()

    def __reversed__(self) -> Iterator[tuple[str, T]]:
        return self._mapping.pairs(reverse=True)


class _Values(ValuesView[T]):
    _mapping: StoreMapping[T]

    def __iter__(self) -> Iterator[T]:
        return (value for _, value in self._mapping.pairs())

    def __reversed__(self) -> Iterator[T]:
        return (value for _, value in self._mapping.pairs(reverse=True))
