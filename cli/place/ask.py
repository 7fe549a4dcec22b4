"""Plain requests to a server, for what the client library has no method for."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from rundlet_server.cli.exits import CommandError, ExitCode

_TIMEOUT_S = 10.0
_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Reply(NamedTuple):
    """What a server answered, and how long that took."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    took_s: float


class Metrics:
    """The numbers of ``/metrics``."""

    def __init__(self, text: str) -> None:
        matches = [_SAMPLE.fullmatch(line) for line in text.splitlines() if line[:1] != "#"]
        self._samples = [
            (match[1], dict(_LABEL.findall(match[2] or "")), float(match[3]))
            for match in matches
            if match
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels; 0 where there are none."""
        return sum(number for _, number in self.by(name, "", **labels))

    def by(self, name: str, label: str, **labels: str) -> list[tuple[str, float]]:
        """The samples of a name that have these labels, each with its value of one label."""
        return [
            (have.get(label, ""), number)
            for found, have, number in self._samples
            if found == name and labels.items() <= have.items()
        ]


class Asking:
    """Asks one server. Use as a context manager."""

    def __init__(self, url: str, token: str | None, ca_file: str | None = None) -> None:
        """``url``, ``token`` and ``ca_file`` as the client library takes them."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandError(
                f"{url!r} is no URL of a server; http://HOST:PORT is", ExitCode.USAGE
            )
        if parts.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=_TIMEOUT_S, context=_trusting(ca_file)
            )
        else:
            self._connection = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=_TIMEOUT_S
            )
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url

    def get(self, path: str, *, with_token: bool = True) -> Reply:
        """Ask for a path.

        Raises:
            CommandError: nobody answers.
        """
        started_s = time.perf_counter()
        try:
            headers = self._headers if with_token else {}
            self._connection.request("GET", self._base + path, headers=headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as ex:
            self._connection.close()
            is_unknown = isinstance(ex, ssl.SSLCertVerificationError)
            advice = "name its authority: --ca-file" if is_unknown else "is the server running?"
            message = f"no answer from {self._url}: {ex}; {advice}"
            raise CommandError(message) from ex
        return Reply(response.status, response.headers, body, time.perf_counter() - started_s)

    def metrics(self) -> Metrics:
        """The server's metrics.

        Raises:
            CommandError: it does not tell.
        """
        reply = self.get("/metrics")
        if reply.status != 200:
            message = (
                f"{self._url}/metrics answered {reply.status}; a token for all keys may see it"
            )
            raise CommandError(message)
        return Metrics(reply.body.decode())

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as ex:
        message = f"cannot use {ca_file} as certificates of authorities: {ex}"
        raise CommandError(message, ExitCode.USAGE) from ex
