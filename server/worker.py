"""What runs in each Granian worker: the app, and a watch over the server's first process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_WATCH_S: Final = 0.2
_LAST_ANSWERS_S: Final = 0.6


def load_app(make_app: Callable[[], WSGIApplication], server_pid: int) -> WSGIApplication:
    """Make the app of one worker.

    Args:
        make_app: called once; finds its settings in the environment.
        server_pid: the process that started this worker; the worker ends when it is gone.
    """
    # Ctrl-C in a terminal, and process managers, signal the whole group. The first process passes
    # that on, and a second signal blocks a Granian worker for ever (2.8): so, a group of its own.
    os.setpgid(0, 0)
    threading.Thread(
        target=_end_with, args=(server_pid,), name="rundlet-watch", daemon=True
    ).start()
    return make_app()


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
