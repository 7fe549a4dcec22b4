"""What runs in each Granian worker: the app, and a watch over the server's first process."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from functions.app import get_app

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_WATCH_S: Final = 0.2
_LAST_ANSWERS_S: Final = 0.6


def load_app(server_pid: int) -> WSGIApplication:
    """Make the app of one worker; its settings come from the environment.

    Args:
        server_pid: the process that started this worker; the worker ends when it is gone.
    """
    threading.Thread(
        target=_end_with, args=(server_pid,), name="rundlet-watch", daemon=True
    ).start()
    return get_app()


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
