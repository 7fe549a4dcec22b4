"""Serve with Granian: N processes over one data folder, each with an event loop.

This process starts the workers and waits; no request passes through it. It restarts a worker
that dies. On SIGTERM, SIGINT and SIGHUP each worker stops accepting connections, answers its
in-flight requests, and ends.
"""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels

from rundlet_server.functions.settings import ConnectionLimits, ServerSettings
from rundlet_server.server.errors import ServeError
from rundlet_server.server.granian import worker
from rundlet_server.server.granian.interrupts import Interrupts
from rundlet_server.server.granian.respawns import Respawns
from rundlet_server.server.granian.waiting import POOL_THREADS
from rundlet_server.server.listen.address import HeldPort
from rundlet_server.server.listen.tls import TlsFiles
from rundlet_server.server.signals import is_ignored
from rundlet_server.storage.memory.allocator import ONE_ARENA, has_own_options
from rundlet_server.storage.settings import descriptors_max

_BACKLOG: Final = 1_024
_RESPAWN_S: Final = 0.1
_DRAIN_MAX_S: Final = 30
_READY_POLL_S: Final = 0.02
_DEFAULT_LIMITS: Final = ConnectionLimits()
_RECEIVING_BYTES_MAX: Final = ServerSettings().receiving_bytes_max
_SPARE_BYTES: Final = 64 * 1024


def run(
    make_service: worker.MakeService,
    port: HeldPort,
    *,
    workers: int,
    threads: int = POOL_THREADS,
    on_ready: Callable[[], None],
    limits: ConnectionLimits = _DEFAULT_LIMITS,
    receiving_bytes_max: int = _RECEIVING_BYTES_MAX,
    tls: TlsFiles | None = None,
) -> None:
    """Serve until a signal asks to stop; call it in the main thread.

    Workers are spawned, not forked: a fork would copy the locks of this process's threads, and
    the pipes by which helper processes notice that this process ended.

    Args:
        make_service: each worker calls it; a module-level function that reads its settings from
            the environment.
        port: the port that this process holds; the workers bind it, too.
        workers: the number of processes that serve.
        threads: for the long work of one worker.
        on_ready: called once, in another thread, when the server accepts connections.
        limits: the limits on the connections of each worker.
        receiving_bytes_max: see ``ServerSettings``.
        tls: the certificate and key; ``None`` serves plain HTTP.

    Raises:
        ServeError: workers ended before they came up, several times in a row; each wrote its
            reason to stderr.
    """
    multiprocessing.set_start_method("spawn")
    os.environ.update(worker.ENVIRONMENT)
    if not has_own_options(os.environ):
        os.environ.update(ONE_ARENA)
    port.share_with_workers()
    granian = Granian(
        "rundlet",  # only a name: target_loader makes the app
        address=port.numeric_host,
        port=port.address.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop if importlib.util.find_spec("uvloop") else Loops.asyncio,
        workers=workers,
        backlog=_BACKLOG,
        backpressure=_connections_max(limits),
        http=HTTPModes.http1,  # over TLS clients would choose HTTP/2, which nothing here limits
        websockets=False,  # a request that asks for one is answered as if it did not
        http1_settings=HTTP1Settings(
            header_read_timeout=round(limits.header_timeout_s * 1_000),
            # The worker itself checks the limit and answers with a reason; hyper would not.
            max_buffer_size=limits.header_bytes_max + _SPARE_BYTES,
        ),
        ssl_cert=tls.cert_path if tls else None,
        ssl_key=tls.key_path if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        log_level=LogLevels.error,
        log_dictconfig=_LOG_AS_OTHERS,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_S,
        workers_kill_timeout=_DRAIN_MAX_S,
    )
    # Granian would start new workers on SIGHUP, for a reload that has no meaning here. Without a
    # handler it leaves the signal alone, so the workers inherit that it is ignored.
    granian.signal_handler_reload = (  # type: ignore[method-assign] # it has no option for this
        None  # type: ignore[assignment]
        if is_ignored(signal.SIGHUP)
        else granian.signal_handler_interrupt
    )
    granian.main_loop_interrupt = Interrupts()
    respawns = Respawns()
    granian.respawned_wrks = respawns
    threading.Thread(
        target=_call_when_ready, args=(port, on_ready), name="rundlet-ready", daemon=True
    ).start()
    options = worker.WorkerOptions(
        make_service, os.getpid(), respawns.come_up, threads, limits, receiving_bytes_max
    )
    try:
        granian.serve(target_loader=functools.partial(worker.load_app, options), wrap_loader=False)
    except SystemExit as ex:
        raise ServeError(
            "the workers ended before they could serve; the lines above say why"
        ) from ex


def _connections_max(limits: ConnectionLimits) -> int:
    """Return how many connections a worker may have; the store and bodies need descriptors, too.

    If no descriptor is free for a connection that waits, Granian tries again without a pause.
    """
    return min(limits.connections_max, max(descriptors_max() // 2, 32))


# Granian logs to stdout by default; its messages go where all others do (``storage.notices``).
_LOG_AS_OTHERS: Final[dict[str, object]] = {
    "handlers": {},
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}


def _call_when_ready(port: HeldPort, on_ready: Callable[[], None]) -> None:
    """Try to connect until it works: Granian does not report when a worker listens."""
    while True:
        try:
            port.connect().close()
        except OSError:
            time.sleep(_READY_POLL_S)
        else:
            on_ready()
            return
