"""Sends the requests of all threads to one server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from rundlet.calls.call import Request
from rundlet.schemes import scheme_advice
from rundlet.sending.connections import Connections
from rundlet.sending.idempotency import safe_attempts
from rundlet.sending.origin import FAILURES, LIMITS, NoCookies, Origin
from rundlet.sending.retrying import attempts
from rundlet.sending.running import run


class Transport:
    """Sends requests, with retries if they are safe."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._connections = Connections(self._make_http)

    def send(self, request: Request) -> httpx.Response:
        """Send a request, and send it again if that is safe.

        Returns:
            The complete answer: a success, or a 404 for a key that does not exist.

        Raises:
            RundletError: see the tree in ``rundlet.errors``.
        """
        return run(safe_attempts(request, self.origin), self._send_once)

    @contextmanager
    def stream(self, request: Request) -> Iterator[httpx.Response]:
        """Send a read, with retries until its answer begins; the caller reads its body.

        Raises:
            RundletError: see the tree in ``rundlet.errors``; ``ConnectionFailed`` also within the
                block, if the answer breaks off.
        """
        response = run(attempts(request, self.origin.retries), self._open)
        try:
            yield response
        except FAILURES as ex:
            raise self.origin.error_of(ex, request, None) from ex
        finally:
            response.close()

    def follow(self, path: str, headers: Mapping[str, str], *, read_s: float) -> httpx.Response:
        """Begin to read a streamed answer, in one attempt; the caller closes it.

        Args:
            path: as in ``Request``.
            headers: of the request.
            read_s: the longest pause in the answer.

        Raises:
            RundletError: see the tree in ``rundlet.errors``.
        """
        timeout = httpx.Timeout(self.origin.timeout_s, read=read_s)
        request = Request("GET", path, is_write=False, headers=headers)
        return run(attempts(request, 0), lambda asked: self._open(asked, timeout))

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._connections.close()

    def _send_once(self, request: Request) -> httpx.Response:
        """Make one attempt; raise ``ConnectionFailed`` if another one is safe."""
        try:
            response = self._connections.send(self.origin.prepared(request))
        except FAILURES as ex:
            raise self.origin.error_of(ex, request, self._advice(ex)) from ex
        self.origin.has_answered = True
        return response

    def _open(self, request: Request, timeout: httpx.Timeout | None = None) -> httpx.Response:
        """Make one attempt; the body of a success is not read yet."""
        try:
            response = self._connections.send(
                self.origin.prepared(request, timeout), is_stream=True
            )
            if not response.is_success:
                response.read()
        except FAILURES as ex:
            raise self.origin.error_of(ex, request, self._advice(ex)) from ex
        self.origin.has_answered = True
        return response

    def _advice(self, ex: Exception) -> str | None:
        return scheme_advice(self.origin.base_url, ex) if self.origin.needs_advice(ex) else None

    def _make_http(self) -> httpx.Client:
        origin = self.origin
        return httpx.Client(
            verify=origin.trusted(),
            trust_env=origin.trusts_environment,
            limits=LIMITS,
            cookies=NoCookies(),
        )
