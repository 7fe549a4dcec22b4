"""What runs in each Granian worker: the app, and threads that see to its end.

Granian 2.8 takes a signal in a way that can block a worker for ever: when it comes twice, as
after Ctrl-C in a terminal (once from there, once from the first process), and when it comes in
the moment before the worker listens. So signals are blocked in every thread, one thread waits
for the first, and calls what Granian installed for it, once and not too early.

That needs a process without threads of others, which would take the signals: see ``ENVIRONMENT``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rundlet_server.server.granian.respawns import Shared
from rundlet_server.server.granian.stalled import StalledConnections
from rundlet_server.storage.collector import relax_collector

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
"""Variables for workers. numpy must not start threads for linear algebra, which Rundlet does not
use, when it is imported: that happens before anything here runs. And a worker must not import
modules from the working directory while it starts: an app's ``queue.py`` would take the place of
the standard library's until the worker has the import path of the first process."""

_SWITCH_INTERVAL_S: Final = 0.000_5
"""A thread that computes gives way to the others after this; Python's own 5 ms let a read wait
for a large transaction. Beside 1,000-put transactions it made the p99 of GET a quarter shorter and
the throughput of GET 10 to 25 % larger; alone it made no difference."""
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_WATCH_S: Final = 0.2
_SETTLE_S: Final = 0.1
_LAST_ANSWERS_S: Final = 0.6


def load_app(
    make_app: Callable[[], WSGIApplication],
    server_pid: int,
    come_up: Shared,
    body_timeout_s: float,
) -> WSGIApplication:
    """Make the app of one worker; called in its main thread, before there is any other.

    Args:
        make_app: called once; finds its settings in the environment.
        server_pid: the process that started this worker; the worker ends when it is gone.
        come_up: counts the workers that did.
        body_timeout_s: see ``ConnectionLimits``.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # later threads inherit this
    is_ending = threading.Event()
    threading.Thread(target=_stop_once, args=(is_ending,), name="rundlet-stop", daemon=True).start()
    threading.Thread(
        target=_end_with, args=(server_pid,), name="rundlet-watch", daemon=True
    ).start()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    relax_collector()
    app = StalledConnections(make_app(), body_timeout_s, is_ending)
    app.start()
    # Granian copies the environment into that of every request: with forty variables, which a
    # shell often has, GET answers took 13 % longer. Nor is it any request's business.
    os.environ.clear()
    come_up.value += 1  # of two at the same moment one may be missed: it only has to change
    return app


def _stop_once(is_ending: threading.Event) -> None:
    signal.sigwait(_STOP_SIGNALS)
    is_ending.set()
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        os._exit(0)  # the app is still being made: there is nothing to finish
    time.sleep(_SETTLE_S)  # between installing the handler and listening, Granian forgets it
    stop(signal.SIGTERM, None)


def _end_with(server_pid: int) -> None:
    """End this worker soon after the server was killed, else it would go on holding the port.

    Asking the system for a signal instead (``PR_SET_PDEATHSIG``) is Linux only and goes by the
    thread that started the worker, not by the process.
    """
    while os.getppid() == server_pid:
        time.sleep(_WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)  # answers what it can ...
    time.sleep(_LAST_ANSWERS_S)
    os._exit(1)
