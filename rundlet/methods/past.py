"""Methods on the past."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from rundlet.calls import past
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.past import Difference, Erased, Place, Retention, RolledBack, Version


class PastMethods(Methods):
    """Read, restore and erase what keys held."""

    def history(self, key: str, *, limit: int | None = None) -> Iterator[Version]:
        """Yield the kept versions of a key, newest first, also of one that was deleted.

        Args:
            key: which key; one that never was has no versions.
            limit: the most versions in all.
        """
        return self._each(past.history(key, limit=limit))

    def diff(
        self, start: Place, end: Place | None = None, *, prefix: str = ""
    ) -> Iterator[Difference]:
        """Yield the keys that differ between two revisions or times, in order.

        A value that was written again, with the same bytes, differs.

        Args:
            start: one of the two; it may be the later one.
            end: the other one; by default the newest.
            prefix: only keys that start with this.

        Raises:
            Compacted: the history that is kept no longer reaches one of them.
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
        """Make keys hold what they held at a revision or a time, in one transaction.

        Values that are restored do not expire. A write that comes between is never lost.

        Args:
            to: the revision or time.
            prefix: all keys that start with this; empty: all keys.
            keys: these keys, instead of a prefix.
            dry_run: write nothing; the answer has the ``changes``.

        Raises:
            Compacted: the history that is kept no longer reaches ``to``.
            Conflict: other clients kept writing the keys; nothing was changed.
            TooLarge: more keys would change than a transaction may have.
            ReadOnly: this server takes no writes.
        """
        return self._run(past.rollback(to, prefix=prefix, keys=keys, dry_run=dry_run))

    def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; first change what is given.

        Raises:
            BadRequest: no store keeps so little or so much.
            Forbidden: the token has no scope ``admin``.
        """
        return self._run(past.retention(keep_versions=keep_versions, keep_for_s=keep_for_s))

    def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Remove every version of a key for good; ``None`` if there is none.

        From then on no read shows any of it, at any revision.

        Args:
            key: which key.
            wait_s: wait so long, at most a minute, for the bytes to be gone from the disk.

        Raises:
            Forbidden: the token has no scope ``admin``.
            ReadOnly: this server takes no writes.
        """
        return self._run(past.erase(key, wait_s=wait_s))


class AsyncPastMethods(AsyncMethods):
    """Does as ``PastMethods`` does."""

    def history(self, key: str, *, limit: int | None = None) -> AsyncIterator[Version]:
        """Yield the kept versions of a key, newest first, also of one that was deleted."""
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
        """Make keys hold what they held at a revision or a time, in one transaction."""
        return await self._run(past.rollback(to, prefix=prefix, keys=keys, dry_run=dry_run))

    async def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; first change what is given."""
        return await self._run(past.retention(keep_versions=keep_versions, keep_for_s=keep_for_s))

    async def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Remove every version of a key for good; ``None`` if there is none."""
        return await self._run(past.erase(key, wait_s=wait_s))
