"""Methods that wait for changes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rundlet.calls import changes
from rundlet.locks import Lock
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.model import ChangesPage, Value
from rundlet.watching import Watch

if TYPE_CHECKING:  # see rundlet.methods.base
    from rundlet.async_locks import AsyncLock
    from rundlet.async_watching import AsyncWatch


class WaitingMethods(Methods):
    """Follow changes, wait for one key, and take locks."""

    def watch(self, prefix: str = "", *, since: int | None = None, values: bool = False) -> Watch:
        """Return an iterator over all changes from now on, or from after a revision.

        After a failure of the server or the network it resumes, and neither loses nor repeats an
        event. A list at revision R and a watch since R together miss no change.

        Args:
            prefix: only keys that start with this.
            since: only events after this revision; by default, after the head.
            values: include the values.

        Raises:
            Compacted: the kept history no longer includes ``since``.
        """
        reader = self._run(changes.begin_feed(prefix, since=since, include_values=values))
        return Watch(self._transport, reader)

    def lock(self, name: str, *, ttl: float = 30.0, renew: bool = True) -> Lock:
        """Return a lock, not acquired yet, that one process at a time can hold.

        Use it as a context manager: ``with client.lock("nightly") as lock: …``. Its ``token`` is a
        fencing token.

        Args:
            name: the key of the lock; nothing else may write it.
            ttl: seconds after which the lock is free if its holder no longer renews it.
            renew: let a thread or a task renew it three times in each ``ttl``.
        """
        return Lock(self._transport, name, ttl=ttl, renew=renew)

    def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int | None = None,
        values: bool = False,
        wait_s: float | None = None,
    ) -> ChangesPage:
        """Return one page of the changes after a revision: whole commits, oldest first.

        The page may end before the newest commit, even if it is empty; ``next_since`` is the
        ``since`` of the next page.

        Args:
            since: only events after this revision.
            prefix: only keys that start with this.
            limit: the maximum number of events; only a single commit with more exceeds it.
            values: include the values.
            wait_s: if there are no events yet, wait so many seconds for one, or as long as the
                server allows. The client's ``timeout_s`` begins after that.

        Raises:
            Compacted: the kept history no longer includes ``since``.
        """
        return self._run(
            changes.changes(since, prefix=prefix, limit=limit, include_values=values, wait_s=wait_s)
        )

    def wait_for(
        self, key: str, *, revision: int | None = None, timeout_s: float = 60.0
    ) -> Value | None:
        """Wait until a key changes, and return its new value; ``None`` if it has none.

        Args:
            key: the key.
            revision: the last revision of the key that the caller knows, 0 for no value; by default
                the current one.
            timeout_s: how long to wait.

        Raises:
            TimeoutError: the key has not changed within that time.
        """
        answer_s = self._origin.timeout_s
        return self._run(
            changes.wait_for(key, revision=revision, timeout_s=timeout_s, answer_s=answer_s)
        )


class AsyncWaitingMethods(AsyncMethods):
    """Does as ``WaitingMethods`` does."""

    def watch(
        self, prefix: str = "", *, since: int | None = None, values: bool = False
    ) -> AsyncWatch:
        """Return an iterator over all changes from now on, or from after a revision.

        It begins when its block is entered, or before the first event.
        """
        from rundlet.async_watching import AsyncWatch  # noqa: PLC0415 - see rundlet.methods.base

        opening = partial(changes.begin_feed, prefix, since=since, include_values=values)
        return AsyncWatch(self._transport, opening)

    def lock(self, name: str, *, ttl: float = 30.0, renew: bool = True) -> AsyncLock:
        """Return a lock, not acquired yet, that one process at a time can hold."""
        from rundlet.async_locks import AsyncLock  # noqa: PLC0415 - see rundlet.methods.base

        return AsyncLock(self._transport, name, ttl=ttl, renew=renew)

    async def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int | None = None,
        values: bool = False,
        wait_s: float | None = None,
    ) -> ChangesPage:
        """Return one page of the changes after a revision: whole commits, oldest first."""
        return await self._run(
            changes.changes(since, prefix=prefix, limit=limit, include_values=values, wait_s=wait_s)
        )

    async def wait_for(
        self, key: str, *, revision: int | None = None, timeout_s: float = 60.0
    ) -> Value | None:
        """Wait until a key changes, and return its new value; ``None`` if it has none."""
        answer_s = self._origin.timeout_s
        return await self._run(
            changes.wait_for(key, revision=revision, timeout_s=timeout_s, answer_s=answer_s)
        )
