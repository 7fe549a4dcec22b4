"""The application for any WSGI server: point it at ``rundlet_server.wsgi:app``.

    RUNDLET_DATA=data gunicorn --workers 2 --threads 8 rundlet_server.wsgi:app

The settings come from the environment. ``rundlet serve`` does more: it limits connections, runs
maintenance in a process of its own, and shares the counters of all workers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rundlet_server.functions.app import get_app
from rundlet_server.storage.forks import listen_for_forks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class ProcessApp:
    """The application of ``get_app``, with one open store for each process.

    A server may fork after it has loaded the application (``gunicorn --preload``). In a forked
    process an open store refuses everything (``storage.forks``), so each opens its own, when the
    first request comes.
    """

    def __init__(self) -> None:
        """Open the store here, so that a server does not start with wrong settings.

        Raises:
            SettingError, StoreError, OSError: see ``get_app``.
        """
        self._lock = threading.Lock()
        self._is_inherited = False
        self._app: WSGIApplication = get_app()
        listen_for_forks(self)

    def after_fork(self) -> None:
        """Open the store again at the next request."""
        self._lock = threading.Lock()  # another thread may have held it during the fork
        self._is_inherited = True

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on."""
        if self._is_inherited:
            self._open_again()
        return self._app(environ, start_response)

    def _open_again(self) -> None:
        with self._lock:
            if self._is_inherited:
                self._app = get_app()
                self._is_inherited = False


def __getattr__(name: str) -> ProcessApp:
    """Make ``app`` when a server first asks for it: an import alone opens no store."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    app = ProcessApp()
    globals()[name] = app
    return app
