"""Serving with Granian: N processes over one data folder, each with few threads.

This process starts the workers and waits; requests never touch it. A worker that dies is
started again. On SIGTERM and SIGINT each worker stops accepting, answers what it has taken on,
and ends.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels

from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.errors import ServeError
from rundlet_server.server.granian import worker
from rundlet_server.server.granian.respawns import Respawns
from rundlet_server.server.listen.address import HeldPort
from rundlet_server.server.listen.tls import TlsFiles

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_BACKLOG: Final = 1_024
_RESPAWN_S: Final = 0.1
_DRAIN_MAX_S: Final = 30
_READY_POLL_S: Final = 0.02
_DEFAULT_LIMITS: Final = ConnectionLimits()


def run(
    make_app: Callable[[], WSGIApplication],
    port: HeldPort,
    *,
    workers: int,
    threads: int,
    on_ready: Callable[[], None],
    limits: ConnectionLimits = _DEFAULT_LIMITS,
    tls: TlsFiles | None = None,
) -> None:
    """Serve until a signal asks to stop; must be called in the main thread.

    Workers are spawned, not forked: a fork would copy this process's threads' locks and the
    pipes that tell helpers of its end.

    Args:
        make_app: called in each worker; a function of a module, with its settings in the
            environment.
        port: held by this process; the workers bind it too.
        workers: processes that serve.
        threads: requests that one worker works on at one time.
        on_ready: called once when connections are accepted, in another thread.
        limits: on the connections of each worker.
        tls: what to serve TLS with; else it is plain HTTP.

    Raises:
        ServeError: workers end before they come up, again and again; they have said why.
    """
    multiprocessing.set_start_method("spawn")
    os.environ.update(worker.ENVIRONMENT)
    port.share_with_workers()
    granian = Granian(
        "rundlet",  # a name only: target_loader makes the app
        address=port.numeric_host,
        port=port.address.port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        backlog=_BACKLOG,
        backpressure=limits.connections_max,
        http=HTTPModes.http1,  # over TLS clients would choose HTTP/2, which nothing here limits
        http1_settings=HTTP1Settings(
            header_read_timeout=round(limits.header_timeout_s * 1_000),
            max_buffer_size=limits.header_bytes_max,
        ),
        ssl_cert=tls.cert_path if tls else None,
        ssl_key=tls.key_path if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        log_level=LogLevels.error,
        log_dictconfig=_LOG_TO_STDERR,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_S,
        workers_kill_timeout=_DRAIN_MAX_S,
    )
    respawns = Respawns()
    granian.respawned_wrks = respawns
    threading.Thread(
        target=_call_when_ready, args=(port, on_ready), name="rundlet-ready", daemon=True
    ).start()
    try:
        granian.serve(
            target_loader=functools.partial(
                worker.load_app,
                make_app,
                os.getpid(),
                respawns.come_up,
                limits.body_timeout_s,
            ),
            wrap_loader=False,
        )
    except SystemExit as ex:
        raise ServeError("the workers do not stay alive; see above for the reason") from ex


# Granian's own default writes to stdout, where nobody looks for errors.
_LOG_TO_STDERR: Final[dict[str, object]] = {
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["console"], "propagate": False}},
}


def _call_when_ready(port: HeldPort, on_ready: Callable[[], None]) -> None:
    """Workers tell nobody when they listen, so knock until one opens."""
    while True:
        try:
            port.connect().close()
        except OSError:
            time.sleep(_READY_POLL_S)
        else:
            on_ready()
            return
