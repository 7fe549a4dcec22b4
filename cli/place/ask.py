"""Plain requests to a server, for what the client library has no method for."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from rundlet.schemes import certificate_advice, reason_of, scheme_advice
from rundlet_server.cli.exits import CommandError, ExitCode

DASHBOARD_PATH = "/ui/"
_TIMEOUT_S = 10.0
_NOT_RUNNING_ADVICE = "start it with rundlet serve, or name it with --url"
_AUTHORITY_ADVICE = "name the authority of its certificate with --ca-file"
NOT_ALLOWED = frozenset({401, 403})
_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class NoAnswer(CommandError):
    """A server does not answer.

    Attributes:
        seen: the reason, as far as it is known.
        advice: what to do, unless ``seen`` includes it.
    """

    def __init__(self, seen: str, advice: str = "") -> None:
        """Make the message from both."""
        super().__init__(f"{seen}; {advice}" if advice else seen)
        self.seen = seen
        self.advice = advice


class Reply(NamedTuple):
    """A server's answer, and how long it took."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    took_s: float


class Metrics:
    """The samples of ``/metrics``."""

    def __init__(self, text: str) -> None:
        matches = [_SAMPLE.fullmatch(line) for line in text.splitlines() if line[:1] != "#"]
        self._samples = [
            (match[1], dict(_LABEL.findall(match[2] or "")), float(match[3]))
            for match in matches
            if match
        ]

    def without(self, label: str, value: str) -> Metrics:
        """Return the samples that do not have this value of a label."""
        kept = Metrics("")
        kept._samples = [sample for sample in self._samples if sample[1].get(label) != value]
        return kept

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name that have these labels; 0 if there are none."""
        return sum(number for _, number in self.by(name, "", **labels))

    def by(self, name: str, label: str, **labels: str) -> list[tuple[str, float]]:
        """Return the samples of a name that have these labels, each with its value of one label."""
        return [
            (have.get(label, ""), number)
            for found, have, number in self._samples
            if found == name and labels.items() <= have.items()
        ]


class Asking:
    """Sends requests to one server. Use as a context manager."""

    def __init__(self, url: str, token: str | None, ca_file: str | None = None) -> None:
        """Prepare requests; the arguments are as in ``rundlet.Client``."""
        scheme, host, port, path = _parts(url)
        if scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_S, context=_trusting(ca_file)
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        self._base = path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url

    def get(self, path: str, *, with_token: bool = True) -> Reply:
        """Send a GET for a path.

        Raises:
            NoAnswer: there is no answer.
        """
        started_s = time.perf_counter()
        try:
            headers = self._headers if with_token else {}
            self._connection.request("GET", self._base + path, headers=headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as ex:
            self._connection.close()
            raise self._no_answer(ex) from ex
        return Reply(response.status, response.headers, body, time.perf_counter() - started_s)

    def _no_answer(self, ex: Exception) -> NoAnswer:
        """Return why there is no answer, and what to do."""
        if not isinstance(ex, TimeoutError | ConnectionRefusedError):
            advice = scheme_advice(self._url, ex)
            if advice is not None:
                return NoAnswer(advice)
        advice = certificate_advice(ex, _AUTHORITY_ADVICE) or _NOT_RUNNING_ADVICE
        return NoAnswer(f"no answer from {self._url}: {reason_of(ex)}", advice)

    def metrics(self) -> Metrics:
        """Return the server's metrics.

        Raises:
            CommandError: the server does not show them, or not with this token.
        """
        reply = self.get("/metrics")
        if reply.status in NOT_ALLOWED:
            message = (
                f"{self._url} shows its metrics only to a token for all keys; give one with"
                " --token or RUNDLET_TOKEN"
            )
            raise CommandError(message, ExitCode.NOT_ALLOWED)
        if reply.status != 200:
            message = f"{self._url}/metrics answered {reply.status}; is this a Rundlet server?"
            raise CommandError(message)
        try:
            return Metrics(reply.body.decode())
        except ValueError as ex:
            message = f"{self._url}/metrics has no metrics; is this a Rundlet server?"
            raise CommandError(message) from ex

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Return the scheme, host, port and path of a server's address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        pass
    else:
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.scheme, parts.hostname, port, parts.path
    message = f"{url!r} is not the address of a server; write it as http://HOST:PORT"
    raise CommandError(message, ExitCode.USAGE)


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as ex:
        message = f"cannot use {ca_file} as certificates of authorities: {ex}"
        raise CommandError(message, ExitCode.USAGE) from ex
