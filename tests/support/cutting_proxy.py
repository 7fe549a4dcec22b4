"""A proxy between a client and a server that cuts connections where a test wants it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Literal, Self

Cut = Literal["before", "after", "freeze"]


class CuttingProxy:
    """Forwards to a port until it sees some bytes from a client, and cuts that connection then.

    Attributes:
        port: where it listens.
        at: the bytes; empty to forward everything.
        cut: cuts ``before`` the server gets them, or ``after`` it has answered them; or forwards
            nothing from them on (``freeze``).
        is_open: new connections are accepted; else they are closed at once.
        is_frozen: nothing is forwarded, and nothing closed: what comes is lost.
        cuts: how many connections were cut.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.at = b""
        self.cut: Cut = "before"
        self.is_open = True
        self.is_frozen = False
        self.cuts = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_all(self) -> None:
        """Cut every connection that is open."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)  # before the look: ``cut_all`` comes after ``is_open``
                if not self.is_open:
                    client.close()
                    continue
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),  # also if nothing listens there any more
            socket.create_connection(("127.0.0.1", self._to_port)) as server,
        ):
            self._open.add(server)
            is_doomed = False  # the server has got the bytes, and the client must not learn of it
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data or (is_doomed and source is server):
                        return
                    if self.is_frozen:
                        continue
                    if source is client and self.at and self.at in data:
                        self.cuts += 1
                        if self.cut == "freeze":
                            self.is_frozen = True
                            continue
                        is_doomed = True
                        if self.cut == "before":
                            return
                    (server if source is client else client).sendall(data)
