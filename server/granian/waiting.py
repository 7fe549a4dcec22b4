"""Waiting in an event loop: a request of a WSGI application waits, and the loop goes on.

Each request that is answered in the loop has a greenlet: a stack of its own in the thread of the
loop. ``LoopWaits`` switches from the greenlet to the loop with an awaitable; the loop awaits it,
serves other requests meanwhile, and then continues the greenlet. A request that is answered in a
thread simply waits there.

If a greenlet waits while it holds a lock, another greenlet of the same thread may try to take the
lock, and would block the loop for ever. So no code may hold a lock across a call of ``Waits``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from greenlet import getcurrent, greenlet

from rundlet_server.functions.waits import IN_THREAD, Watched
from rundlet_server.server.granian.committer import Committer, Report
from rundlet_server.server.granian.recorder import Recorder
from rundlet_server.server.granian.watching import ChangeWatch
from rundlet_server.storage.interface import CommitsGroups
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.timeline import Changes

if TYPE_CHECKING:
    from rundlet_server.storage.interface import Store, Txn

Result = TypeVar("Result")

POOL_THREADS: Final = 4
"""Threads for long work, and as many for large bodies. More threads would slow the loop, because
all share one interpreter."""


class _Request(greenlet):  # type: ignore[misc] # greenlet has no types
    """The stack of one request."""


async def in_greenlet(do: Callable[..., Result], *arguments: object) -> Result:
    """Call a function that may wait with ``LoopWaits``; return its result."""
    request = _Request(do)
    result: Any = request.switch(*arguments)
    while not request.dead:
        try:
            value = await result
        except BaseException as ex:
            result = request.throw(type(ex), ex, ex.__traceback__)
        else:
            result = request.switch(value)
    returned: Result = result  # the last switch returned it
    return returned


class LoopWaits:
    """See ``functions.waits``.

    Attributes:
        pool: threads for long work.
        bodies_pool: threads for requests with large bodies, such as imports that take minutes, so
            that lists and metrics do not wait for them.
    """

    def __init__(self, threads: int = POOL_THREADS) -> None:
        """Use ``threads`` for long work."""
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="rundlet-work")
        self.bodies_pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="rundlet-bodies")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._committer: Committer | None = None
        self._recorder: Recorder | None = None
        self._watch: ChangeWatch | None = None
        self._shared_work: dict[Hashable, asyncio.Future[Any]] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, once it runs."""
        assert self._loop is not None
        return self._loop

    @property
    def _recording(self) -> Recorder:
        assert self._recorder is not None
        return self._recorder

    def begin(self, store: Store | None, after_group: Callable[[], object] = bool) -> None:
        """Serve the requests of a store; call it in the loop.

        Args:
            store: the store, if there is one.
            after_group: see ``Committer``.
        """
        self._loop = asyncio.get_running_loop()
        self._recorder = Recorder()
        commits: object = store
        if isinstance(commits, CommitsGroups):
            self._committer = Committer(commits, self._loop, after_group)
        if store is not None:
            self._watch = ChangeWatch(store, self._loop)

    def wait_for(self, awaitable: Awaitable[Result]) -> Result:
        """Return the result of an awaitable; call it in the greenlet of a request."""
        try:
            result: Result = getcurrent().parent.switch(awaitable)
        finally:
            del awaitable  # it may hold an exception, which refers to this frame: see ``commit``
        return result

    def commit(self, store: Store, txn: Txn) -> Commit:
        """See ``Waits``."""
        committer = self._committer
        if committer is None or not isinstance(getcurrent(), _Request):
            return store.commit(txn)
        outcome = self.wait_for(committer.submit(txn))
        if isinstance(outcome, Commit):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # the exception refers to this frame: no cycle may keep either alive

    def commit_for(self, txn: Txn, report: Report) -> bool:
        """Queue a transaction, see ``Committer``; return false if no thread commits groups."""
        if self._committer is None:
            return False
        self._committer.commit_for(txn, report)
        return True

    def next_changes(self, store: Store, watched: Watched, timeout_s: float) -> Changes | None:
        """See ``Waits``."""
        watch = self._watch
        if watch is None or not isinstance(getcurrent(), _Request):
            return IN_THREAD.next_changes(store, watched, timeout_s)
        return self.wait_for(watch.next_changes(watched, timeout_s))

    def sleep(self, seconds: float) -> None:
        """See ``Waits``."""
        if isinstance(getcurrent(), _Request):
            self.wait_for(asyncio.sleep(seconds))
        else:
            time.sleep(seconds)

    def record(self, do: Callable[[], None]) -> None:
        """See ``Waits``."""
        if isinstance(getcurrent(), _Request):
            self.wait_for(self._recording.recorded(do))
        else:
            do()

    def record_later(self, do: Callable[[], None]) -> None:
        """Do as ``record`` does, but do not wait for it; any thread may call this."""
        self._recording.submit(do)

    def work(self, do: Callable[[], Result]) -> Result:
        """See ``Waits``."""
        if isinstance(getcurrent(), _Request):
            return self.wait_for(self.loop.run_in_executor(self.pool, do))
        return do()

    def work_once(self, name: Hashable, do: Callable[[], Result], /) -> Result:
        """See ``Waits``."""
        if isinstance(getcurrent(), _Request):
            return self.wait_for(self._shared(name, do))
        return do()

    async def _shared(self, name: Hashable, do: Callable[[], Result]) -> Result:
        result: asyncio.Future[Any] | None = self._shared_work.get(name)
        if result is None:
            result = self._shared_work[name] = self.loop.run_in_executor(self.pool, do)
            result.add_done_callback(lambda _: self._shared_work.pop(name))
        try:
            shared: Result = await asyncio.shield(result)  # a request that ends must not stop it
        finally:
            del result  # as in ``wait_for``
        return shared

    def wake_all(self) -> None:
        """End all waits for changes, because the server ends; call it in the loop."""
        if self._watch is not None:
            self._watch.wake_all()

    def end(self) -> None:
        """Accept no more work, and end the threads; call it when no request is left."""
        for pool in (self.pool, self.bodies_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._committer is not None:
            self._committer.end()
        if self._recorder is not None:
            self._recorder.end()
