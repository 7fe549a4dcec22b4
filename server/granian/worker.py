"""Run one Granian worker: the app, and the threads that end the worker cleanly.

Granian 2.8 handles signals in a way that can block a worker for ever: when a signal arrives
twice, as after Ctrl-C in a terminal (once from the terminal, once from the first process), and
when it arrives in the moment before the worker listens. So every thread blocks these signals,
and one thread waits for the first of them and calls the handler that Granian installed, once and
not too early.

That works only if no library has started threads before, because such a thread would receive the
signals: see ``ENVIRONMENT``.
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
from rundlet_server.server.signals import STOP_SIGNALS, is_ignored
from rundlet_server.storage.memory.allocator import keep_little_free
from rundlet_server.storage.memory.collector import relax_collector

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
"""Variables for workers. numpy is imported before anything here runs, and must not start threads
for linear algebra then; Rundlet does no linear algebra. And a worker must not import modules from
the working directory while it starts: an app's ``queue.py`` would take the place of the standard
library's until the worker has the import path of the first process."""

_SWITCH_INTERVAL_S: Final = 0.000_5
"""A thread that computes yields to the others after this time. Python's default of 5 ms makes a
read wait for a large transaction. Beside 1,000-put transactions this value made the p99 of GET a
quarter shorter and its throughput 10 to 25 % higher; without them it made no difference."""
_WATCH_S: Final = 0.2
_SETTLE_S: Final = 0.1
_LAST_ANSWERS_S: Final = 0.6


def load_app(
    make_app: Callable[[], WSGIApplication],
    server_pid: int,
    come_up: Shared,
    body_timeout_s: float,
) -> WSGIApplication:
    """Make the app of one worker; call it in the main thread, before any other thread starts.

    Args:
        make_app: called once; reads its settings from the environment.
        server_pid: the process that started this worker; when it ends, the worker ends, too.
        come_up: the number of workers that came up.
        body_timeout_s: see ``ConnectionLimits``.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # later threads inherit this
    keep_little_free()
    is_ending = threading.Event()
    threading.Thread(target=_stop_once, args=(is_ending,), name="rundlet-stop", daemon=True).start()
    threading.Thread(
        target=_end_with, args=(server_pid,), name="rundlet-watch", daemon=True
    ).start()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    relax_collector()
    app = StalledConnections(make_app(), body_timeout_s, is_ending)
    app.start()
    # Granian copies the process's environment into that of every request: with forty variables,
    # as many shells have, GET answers took 13 % longer. Nor should a request see them.
    os.environ.clear()
    come_up.value += 1  # two workers at once may count as one: the number only has to change
    return app


def _stop_once(is_ending: threading.Event) -> None:
    signal.sigwait([number for number in STOP_SIGNALS if not is_ignored(number)])
    is_ending.set()
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        os._exit(0)  # the app is still being made: no request is in flight
    # Granian loses a signal that arrives between installing its handler and listening.
    time.sleep(_SETTLE_S)
    stop(signal.SIGTERM, None)


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
