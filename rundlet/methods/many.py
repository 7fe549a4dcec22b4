"""Methods on many values."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from rundlet.calls import batches, lists
from rundlet.calls.call import Progress
from rundlet.calls.lists import Range
from rundlet.calls.transfers import Setting
from rundlet.keys import several
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.model import Commit, Condition, KeyInfo, Op, Value


class ManyMethods(Methods):
    """Read, write, list, count and delete many values."""

    def mget(
        self, keys: Sequence[str], *, revision: int | None = None, at: datetime | str | None = None
    ) -> list[Value | None]:
        """Return the values of any number of keys from one snapshot, in the order of ``keys``.

        ``revision`` and ``at`` are as in ``get``. If there are more keys than the server allows in
        one request, the client sends several.

        Raises:
            Compacted: compaction removed the snapshot between two requests.
        """
        return self._run(batches.mget(keys, revision=revision, at=at))

    def txn(
        self,
        then: Sequence[Op],
        *,
        conditions: Sequence[Condition] = (),
        otherwise: Sequence[Op] | None = None,
    ) -> Commit:
        """Do many writes, all or none, at one revision.

        Args:
            then: the writes if every condition holds; each key at most once.
            conditions: the conditions, which the commit checks.
            otherwise: the writes if a condition fails.

        Raises:
            Conflict: a condition failed and there is no ``otherwise``.
            BadRequest: an operation cannot be done; the message names its index.
            TooLarge: more operations or bytes than the server allows.
            ReadOnly: this server takes no writes.
        """
        return self._run(batches.txn(then, conditions=conditions, otherwise=otherwise))

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        match: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        delimiter: str | None = None,
        values: bool = False,
        meta: bool = False,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> Iterator[KeyInfo]:
        """Yield keys in the order of their UTF-8 bytes, page by page, all of one snapshot.

        Args:
            prefix: only keys that start with this.
            start: only keys >= this.
            end: only keys < this.
            match: only keys that match this after the prefix: ``*`` is any text, ``?`` is any
                character, ``[…]`` is one of some characters; at most 256 characters.
            limit: the maximum number of keys and prefixes.
            reverse: descending order.
            delimiter: yield the keys that share the text up to its first occurrence after the
                prefix as one prefix.
            values: include the values.
            meta: include metadata.
            revision: as of this revision; by default the head when the first page is read.
            at: as of this time, instead of a revision.

        Raises:
            Compacted: compaction removed the snapshot while it was being read.
        """
        keys = Range(prefix, start, end, match, revision, at)
        return self._each(
            lists.scan(
                keys, limit=limit, reverse=reverse, delimiter=delimiter, values=values, meta=meta
            )
        )

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        match: str | None = None,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> int:
        """Return the number of keys; arguments as in ``scan``. ``match`` makes it slower."""
        return self._run(lists.count(Range(prefix, start, end, match, revision, at)))

    def delete_prefix(
        self,
        prefix: str,
        *,
        match: str | None = None,
        expect: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Remove all keys with a prefix, and return how many had a value.

        Without ``expect`` this is not a transaction: other clients may see that only a part of the
        keys is removed, and keys that are created meanwhile may stay.

        Args:
            prefix: not empty.
            match: only keys that match this after the prefix, as in ``scan``.
            expect: remove the keys, in one transaction, only if there are exactly so many; see
                ``count``.
            progress: called after each request with the number of keys done so far.

        Raises:
            PreconditionFailed: there are more or fewer keys than expected; nothing was changed.
            Conflict: with ``expect``, other clients kept writing the keys; nothing was changed.
            TooLarge: ``expect`` is more than the server allows in a transaction.
            ReadOnly: this server takes no writes.
        """
        return self._run(lists.delete_prefix(prefix, match=match, expect=expect, progress=progress))

    def set_many(
        self,
        values: Mapping[str, bytes | str] | Iterable[tuple[str, bytes | str]],
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Store any number of values in requests of a few megabytes, and return their number.

        This is not a transaction; see ``txn``. If it fails, ``imported`` of the error is the number
        of values that are known to be stored.

        Args:
            values: a mapping of keys to values, or pairs of them.
            ttl: of all values, as in ``set``.
            content_type: of all values, as in ``set``.
            progress: called after each request with the number of values done so far.

        Raises:
            BadRequest: a key or a value is larger than the server allows; ``line`` is its number.
            ReadOnly: this server takes no writes.
        """
        rows = values.items() if isinstance(values, Mapping) else values
        return self._feed(Setting(ttl, content_type, progress), rows)

    def delete_many(self, keys: Iterable[str], *, progress: Progress | None = None) -> int:
        """Remove any number of keys, and return how many had a value; not a transaction.

        Args:
            keys: the keys.
            progress: called after each request with the number of keys done so far.

        Raises:
            ReadOnly: this server takes no writes.
        """
        return self._feed(lists.Deleting(progress), several(keys))


class AsyncManyMethods(AsyncMethods):
    """Does as ``ManyMethods`` does."""

    async def mget(
        self, keys: Sequence[str], *, revision: int | None = None, at: datetime | str | None = None
    ) -> list[Value | None]:
        """Return the values of any number of keys from one snapshot, in the order of ``keys``."""
        return await self._run(batches.mget(keys, revision=revision, at=at))

    async def txn(
        self,
        then: Sequence[Op],
        *,
        conditions: Sequence[Condition] = (),
        otherwise: Sequence[Op] | None = None,
    ) -> Commit:
        """Do many writes, all or none, at one revision."""
        return await self._run(batches.txn(then, conditions=conditions, otherwise=otherwise))

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        match: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        delimiter: str | None = None,
        values: bool = False,
        meta: bool = False,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> AsyncIterator[KeyInfo]:
        """Yield keys in the order of their UTF-8 bytes, page by page, all of one snapshot."""
        keys = Range(prefix, start, end, match, revision, at)
        return self._each(
            lists.scan(
                keys, limit=limit, reverse=reverse, delimiter=delimiter, values=values, meta=meta
            )
        )

    async def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        match: str | None = None,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> int:
        """Return the number of keys; arguments as in ``scan``. ``match`` makes it slower."""
        return await self._run(lists.count(Range(prefix, start, end, match, revision, at)))

    async def delete_prefix(
        self,
        prefix: str,
        *,
        match: str | None = None,
        expect: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Remove all keys with a prefix, and return how many had a value."""
        return await self._run(
            lists.delete_prefix(prefix, match=match, expect=expect, progress=progress)
        )

    async def set_many(
        self,
        values: Mapping[str, bytes | str]
        | Iterable[tuple[str, bytes | str]]
        | AsyncIterable[tuple[str, bytes | str]],
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Store any number of values in requests of a few megabytes, and return their number."""
        rows = values.items() if isinstance(values, Mapping) else values
        return await self._feed(Setting(ttl, content_type, progress), rows)

    async def delete_many(
        self, keys: Iterable[str] | AsyncIterable[str], *, progress: Progress | None = None
    ) -> int:
        """Remove any number of keys, and return how many had a value; not a transaction."""
        return await self._feed(lists.Deleting(progress), several(keys))
