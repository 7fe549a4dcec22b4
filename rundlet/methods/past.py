"""Methods on earlier states."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from rundlet.calls import past
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.past import Difference, Erased, Place, Retention, RolledBack, Version


class PastMethods(Methods):
    """Read, restore and erase earlier values of keys."""

    def history(self, key: str, *, limit: int | None = None) -> Iterator[Version]:
        """Yield the kept versions of a key, newest first, even if it was deleted.

        Args:
            key: the key; a key that never existed has no versions.
            limit: the maximum number of versions.
        """
        return self._each(past.history(key, limit=limit))

    def diff(
        self, start: Place, end: Place | None = None, *, prefix: str = ""
    ) -> Iterator[Difference]:
        """Yield the keys that differ between two revisions or times, in order.

        A key differs if its value was written again, even with the same bytes.

        Args:
            start: a revision or time; it may be later than ``end``.
            end: a revision or time; by default the head.
            prefix: only keys that start with this.

        Raises:
            Compacted: the kept history no longer includes one of them.
        """
        return self._each(past.diff(start, end, prefix=prefix))

    def rollback(
        self,
        to: Place,
        *,
        prefix: str | None = None,
        keys: Sequence[str] | None = None,
        dry_run: bool = False,
    ) -> RolledBack:
        """Restore keys to their values at a revision or a time, in one transaction.

        Restored values do not expire. A concurrent write of another client is never lost.

        Args:
            to: the revision or time.
            prefix: roll back all keys that start with this; empty means all keys.
            keys: roll back these keys, instead of a prefix.
            dry_run: write nothing; the result has the ``changes``.

        Raises:
            Compacted: the kept history no longer includes ``to``.
            Conflict: other clients kept writing the keys; nothing was changed.
            TooLarge: more keys would change than a transaction may have.
            ReadOnly: this server takes no writes.
        """
        return self._run(past.rollback(to, prefix=prefix, keys=keys, dry_run=dry_run))

    def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; if arguments are given, change them first.

        Args:
            keep_versions: how many of the newest versions of each key to keep.
            keep_for_s: how many seconds to keep replaced and deleted values.

        Raises:
            BadRequest: a number is out of range.
            Forbidden: the token does not have the scope ``admin``.
        """
        return self._run(past.retention(keep_versions=keep_versions, keep_for_s=keep_for_s))

    def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Erase every version of a key for good; return ``None`` if there is none.

        After that no read returns any of them, at any revision.

        Args:
            key: the key.
            wait_s: wait so long, at most a minute, until the bytes are removed from the disk. The
                client's ``timeout_s`` begins after that.

        Raises:
            Forbidden: the token does not have the scope ``admin``.
            ReadOnly: this server takes no writes.
        """
        return self._run(past.erase(key, wait_s=wait_s))


class AsyncPastMethods(AsyncMethods):
    """Does as ``PastMethods`` does."""

    def history(self, key: str, *, limit: int | None = None) -> AsyncIterator[Version]:
        """Yield the kept versions of a key, newest first, even if it was deleted."""
        return self._each(past.history(key, limit=limit))

    def diff(
        self, start: Place, end: Place | None = None, *, prefix: str = ""
    ) -> AsyncIterator[Difference]:
        """Yield the keys that differ between two revisions or times, in order."""
        return self._each(past.diff(start, end, prefix=prefix))

    async def rollback(
        self,
        to: Place,
        *,
        prefix: str | None = None,
        keys: Sequence[str] | None = None,
        dry_run: bool = False,
    ) -> RolledBack:
        """Restore keys to their values at a revision or a time, in one transaction."""
        return await self._run(past.rollback(to, prefix=prefix, keys=keys, dry_run=dry_run))

    async def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; if arguments are given, change them first."""
        return await self._run(past.retention(keep_versions=keep_versions, keep_for_s=keep_for_s))

    async def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Erase every version of a key for good; return ``None`` if there is none."""
        return await self._run(past.erase(key, wait_s=wait_s))
