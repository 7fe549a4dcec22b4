"""Run one Granian worker: the ASGI application, and the threads that end the worker cleanly.

The signal handling of Granian 2.8 can block a worker for ever in two cases: if a signal arrives
twice, as after Ctrl-C in a terminal (once from the terminal, once from the first process), and if
it arrives just before the worker listens. So every thread blocks these signals. One thread waits
for the first signal and passes it to Granian's handler in the event loop, once and not too early.

This works only if no library has started threads before, because such a thread would receive the
signals: see ``ENVIRONMENT``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from rundlet_server.functions.serving import Service
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.functions.waits import Waits
from rundlet_server.server.granian.bridge import Bridge
from rundlet_server.server.granian.connections import admit_no_more, close_unread
from rundlet_server.server.granian.respawns import Shared
from rundlet_server.server.granian.shortcut import install
from rundlet_server.server.granian.waiting import LoopWaits
from rundlet_server.server.signals import STOP_SIGNALS, is_ignored
from rundlet_server.storage.memory.allocator import keep_little_free
from rundlet_server.storage.memory.collector import relax_collector
from rundlet_server.storage.memory.trimming import trim_often
from rundlet_server.storage.notices.messages import write_messages

ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONSAFEPATH": "1",
    "_RJEM_MALLOC_CONF": (
        "background_thread:true,max_background_threads:1,dirty_decay_ms:1000,muzzy_decay_ms:0"
    ),
}
"""Variables for workers.

``OPENBLAS_NUM_THREADS``: numpy is imported before this module runs, and must not start threads for
linear algebra; Rundlet does no linear algebra. ``PYTHONSAFEPATH``: a worker must not import modules
from the working directory while it starts; until the worker has the import path of the first
process, an app's ``queue.py`` would replace that of the standard library. ``_RJEM_MALLOC_CONF``:
Granian has its own allocator, jemalloc, in which an idle thread returns no memory. After 300 slow
readers of a large value had left, a worker kept 154 MiB; with a thread of jemalloc that returns
memory after one second, it kept 5 MiB. That thread blocks all signals, and is why the first process
sets ``ONE_ARENA``, too."""

_SWITCH_INTERVAL_S: Final = 0.000_5
"""A thread that computes yields to the others after this time. Python's default of 5 ms makes a
read wait for a large transaction. Beside 1,000-put transactions this value made the p99 of GET a
quarter shorter and its throughput 10 to 25 % higher; without them it made no difference."""
_WATCH_S: Final = 0.2
_SETTLE_S: Final = 0.1
_LAST_ANSWERS_S: Final = 0.6
_DRAIN_S: Final = 10.0

MakeService = Callable[[Waits], Service]


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The options that the first process passes to each worker.

    Attributes:
        make_service: called once; reads its settings from the environment.
        server_pid: the process that started the worker; when it ends, the worker ends, too.
        come_up: the number of workers that came up so far.
        threads: for long work.
        limits: on connections.
        receiving_bytes_max: see ``ServerSettings``.
    """

    make_service: MakeService
    server_pid: int
    come_up: Shared
    threads: int
    limits: ConnectionLimits
    receiving_bytes_max: int


def load_app(options: WorkerOptions) -> App:
    """Make the app of one worker; call it in the main thread, before any other thread starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # later threads inherit this
    write_messages()
    keep_little_free()
    stop = _Stop()
    threading.Thread(target=stop.wait, name="rundlet-stop", daemon=True).start()
    threading.Thread(
        target=_end_with, args=(options.server_pid,), name="rundlet-watch", daemon=True
    ).start()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    relax_collector()
    trim_often()
    waits = LoopWaits(options.threads)
    bridge = Bridge(
        options.make_service(waits),
        waits,
        options.limits,
        receiving_bytes_max=options.receiving_bytes_max,
        is_ending=stop.is_asked,
    )
    install(bridge.take)
    close_unread(options.limits.body_timeout_s, stop.is_asked)
    options.come_up.value += 1  # two workers at once may count as one: it only has to change
    return App(bridge, waits, stop)


class App:
    """The ASGI application: Granian calls it for each request, and for startup and shutdown."""

    def __init__(self, bridge: Bridge, waits: LoopWaits, stop: _Stop) -> None:
        self._answer = bridge.answer
        self._bridge = bridge
        self._waits = waits
        self._stop = stop

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:  # noqa: ANN401 # as ASGI says
        """See the ASGI specification."""
        if scope["type"] == "http":
            return self._answer(scope, receive, send)
        assert scope["type"] == "lifespan", "Granian is told to open no WebSockets"
        return self._live(receive, send)

    async def _live(self, receive: Any, send: Any) -> None:  # noqa: ANN401 # as above
        await receive()
        self._bridge.begin()
        self._stop.begin(asyncio.get_running_loop(), self._waits.wake_all)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._bridge.end(_DRAIN_S)
        await send({"type": "lifespan.shutdown.complete"})


class _Stop:
    """Ends the worker on the first signal that asks for it."""

    def __init__(self) -> None:
        self._is_asked = threading.Event()
        self.is_asked = self._is_asked.is_set
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_stop: Callable[[], None] = _nothing

    def begin(self, loop: asyncio.AbstractEventLoop, on_stop: Callable[[], None]) -> None:
        """Let a signal end ``loop`` in order from now on, and call ``on_stop`` in it."""
        self._on_stop = on_stop
        self._loop = loop

    def wait(self) -> None:
        """Wait for the signal."""
        signal.sigwait([number for number in STOP_SIGNALS if not is_ignored(number)])
        self._is_asked.set()
        loop = self._loop
        if loop is None:
            os._exit(0)  # the app is still being made: no request is in flight
        admit_no_more()
        # Connections that are new send their request meanwhile. And Granian loses a signal that
        # arrives between installing its handler and listening.
        time.sleep(_SETTLE_S)
        loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        self._on_stop()
        signal.raise_signal(signal.SIGTERM)  # pending, as it is blocked
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _nothing() -> None:
    pass


def _end_with(server_pid: int) -> None:
    """End this worker soon after the server was killed; otherwise it would keep the port.

    The alternative, a signal from the system (``PR_SET_PDEATHSIG``), exists on Linux only and
    depends on the thread that started the worker, not on the process.
    """
    while os.getppid() == server_pid:
        time.sleep(_WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)  # gives in-flight requests a moment to be answered
    time.sleep(_LAST_ANSWERS_S)
    os._exit(1)
