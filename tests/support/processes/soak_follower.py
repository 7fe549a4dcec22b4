"""A client of the soak test that follows the change feed and holds what the feed says there is."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from typing import Any, Final, Self

from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import Connection

_PAUSE_S: Final = 0.05
_GONE: Final = 410
_NO_PLACE: Final = 503
_PAGE_KEYS: Final = 1_000


class SoakFollower:
    """Follows the keys with a prefix, commit by commit; a context manager that stops it.

    It begins with a list of the keys. So it does again if the history that it would read next is no
    longer kept; after every other end of the stream it goes on where it was.

    Attributes:
        held: the values after the last whole commit.
        counts: events, streams and lists so far.
    """

    def __init__(self, port: int, prefix: str) -> None:
        self.held: dict[str, bytes] = {}
        self.counts = {"events followed": 0, "streams": 0, "lists": 0}
        self._port = port
        self._prefix = prefix.replace(" ", "%20")
        self._since: int | None = None
        self._is_over = False
        self._socket: socket.socket | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def raise_error(self) -> None:
        """Raise the error that ended the thread, if there was one."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._is_over:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._follow()
                time.sleep(_PAUSE_S)  # the worker, or the server, is gone
        except BaseException as ex:
            self._error = ex

    def _follow(self) -> None:
        """List the keys if need be; then read one stream to its end."""
        if self._since is None:
            self._list()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            target = f"/v1/changes?since={self._since}&include=value&prefix={self._prefix}"
            connection.request("GET", target, headers={"Accept": "application/x-ndjson"})
            self._socket = connection.sock
            answer = connection.getresponse()
            if answer.status == _GONE:
                self._since = None
            elif answer.status != _NO_PLACE:
                assert answer.status == 200, (answer.status, answer.read())
                self.counts["streams"] += 1
                self._read(answer)

    def _list(self) -> None:
        with Connection(self._port) as connection:
            target = f"/v1/keys?include=value&limit={_PAGE_KEYS}&prefix={self._prefix}"
            answer = connection.ask("GET", target)
        if answer.status != 200:
            assert answer.status == _NO_PLACE, answer
            raise OSError("no place for a list")
        page = answer.json
        assert "next" not in page, "the test has more keys than fit on a page"
        self.held = {item["key"]: _value_in(item) for item in page["keys"]}
        self._since = page["revision"]
        self.counts["lists"] += 1

    def _read(self, answer: http.client.HTTPResponse) -> None:
        commit: dict[str, bytes | None] = {}
        while (line := answer.readline()).endswith(b"\n"):
            event: dict[str, Any] = json.loads(line)
            if "problem" in event:  # the history is gone, or this client was too slow
                if event["problem"]["status"] == _GONE:
                    self._since = None
                return
            if "op" not in event:
                self._since = event["next_since"]
                continue
            self.counts["events followed"] += 1
            commit[event["key"]] = _value_in(event) if event["op"] == "put" else None
            if event["last"]:
                self._apply(commit)
                self._since = event["revision"]
                commit = {}

    def _apply(self, commit: dict[str, bytes | None]) -> None:
        held = self.held | commit
        self.held = {key: value for key, value in held.items() if value is not None}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)


def _value_in(item: dict[str, str]) -> bytes:
    return item["text"].encode() if "text" in item else base64.b64decode(item["base64"])
