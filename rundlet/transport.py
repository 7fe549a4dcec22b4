"""Sends requests, and decides which may be sent again.

What a failure says about a request:

=============================================  ==================  =======================
failure                                        a read              a write
=============================================  ==================  =======================
no connection: nothing was sent                again               again
429 or 503 with Retry-After: not applied       again, after that   again, after that
broken connection or time-out after sending    again               ``OutcomeUnknown``
502 or 504, from a proxy or the server         again               ``OutcomeUnknown``
any other answer                               final               final
=============================================  ==================  =======================
"""

from __future__ import annotations

import os
import random
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self

import httpx

from rundlet.connections import Connections
from rundlet.errors import BadRequest, ConnectionFailed, OutcomeUnknown
from rundlet.problems import error_of, problem_name, retry_after_s
from rundlet.schemes import scheme_advice

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 5.0
_RETRY_AFTER_MAX_S = 60.0
_REFUSED_STATUSES = frozenset({429, 503})
_GATEWAY_STATUSES = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """One request, which may be sent several times.

    Attributes:
        path: raw path below the server's address, with the query, percent-encoded.
        is_write: it may change something, so it is sent again only if it was not applied.
    """

    method: str
    path: str
    is_write: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class Transport:
    """Sends the requests of all threads to one server.

    Attributes:
        timeout_s: for connecting, and for each pause in an answer.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        timeout_s: float,
        retries: int,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._base_url = _checked_url(url)
        if retries < 0:
            message = f"retries is at least 0, got {retries}"
            raise BadRequest(message)
        self._retries = retries
        self.timeout_s = timeout_s
        self._has_answered = False
        headers = {"Accept-Encoding": "identity"}  # the bytes as stored, and strong ETags
        if token is not None:
            headers["Authorization"] = f"Bearer {_checked_token(token)}"
        # A forked child reads it again, and may have gone to another folder.
        ca_path = None if ca_file is None else os.path.abspath(ca_file)

        def make_http() -> httpx.Client:
            return httpx.Client(
                headers=headers,
                timeout=timeout_s,
                verify=_trusted(self._base_url, ca_path),
                # HTTP_PROXY and the like are meant for other machines, never for this one.
                trust_env=not _is_loopback(self._base_url.host),
            )

        self._connections = Connections(make_http)

    @property
    def base_url(self) -> str:
        """The server's address, without a slash at the end."""
        return str(self._base_url).rstrip("/")

    def send(self, request: Request) -> httpx.Response | None:
        """Send a request, and send it again if that is safe.

        Returns:
            The answer, read to its end, if it is a success; ``None`` if the key does not exist.

        Raises:
            RundletError: see the tree in ``rundlet.errors``.
        """
        for attempt in range(self._retries):
            try:
                response = self._send_once(request)
            except ConnectionFailed:
                time.sleep(backoff_s(attempt))
                continue
            wait_s = _wait_before_retry_s(request, response, attempt)
            if wait_s is None:
                return _outcome(request, response)
            time.sleep(wait_s)
        return _outcome(request, self._send_once(request))

    @contextmanager
    def stream(self, request: Request) -> Iterator[httpx.Response]:
        """Send a read, and send it again until its answer begins; its body is read by the caller.

        Raises:
            RundletError: see the tree in ``rundlet.errors``; ``ConnectionFailed`` also within the
                block, if the answer breaks off.
        """
        for attempt in range(self._retries + 1):
            with self._streamed(request) as response:
                wait_s = _wait_before_retry_s(request, response, attempt)
                if wait_s is None or attempt == self._retries:
                    if not response.is_success:
                        response.read()
                        raise error_of(response, is_write=False)
                    yield response
                    return
            time.sleep(wait_s)

    @contextmanager
    def _streamed(self, request: Request) -> Iterator[httpx.Response]:
        url = self._url(request.path)
        try:
            with self._connections.stream(request.method, url, request.headers) as response:
                self._has_answered = True
                yield response
        except httpx.RequestError as ex:
            advice = self._scheme_advice(ex)
            if isinstance(ex, _NOTHING_SENT):
                message = f"no answer from {self.base_url} ({_reason(ex)}); {_advice(ex)}"
            else:
                message = f"{self.base_url} broke off the answer ({_reason(ex)})"
            raise ConnectionFailed(advice or message) from ex

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def follow(self, path: str, headers: Mapping[str, str], *, read_s: float) -> httpx.Response:
        """Begin to read an answer that goes on, in one attempt; the caller closes it.

        Args:
            path: as in ``Request``.
            headers: of the request.
            read_s: the longest pause in the answer.

        Raises:
            RundletError: see the tree in ``rundlet.errors``.
        """
        request = Request("GET", path, is_write=False, headers=headers)
        timeout = httpx.Timeout(self.timeout_s, read=read_s)
        with self._failing(request):
            response = self._connections.open_stream(self._url(path), headers, timeout)
            if not response.is_success:
                response.read()
        if not response.is_success:
            raise error_of(response, is_write=False)
        return response

    def _send_once(self, request: Request) -> httpx.Response:
        """Make one attempt; raise ``ConnectionFailed`` if another one is safe."""
        with self._failing(request):
            return self._connections.request(
                request.method, self._url(request.path), request.headers, request.body
            )

    @contextmanager
    def _failing(self, request: Request) -> Iterator[None]:
        """Give the errors of an attempt the form of the client's."""
        try:
            yield
        except _NOTHING_SENT as ex:
            is_handshake = self._base_url.scheme == "https" and isinstance(ex, httpx.ConnectError)
            advice = self._scheme_advice(ex) if is_handshake else None
            message = f"no answer from {self.base_url} ({_reason(ex)}); {_advice(ex)}"
            raise ConnectionFailed(advice or message) from ex
        except (httpx.LocalProtocolError, UnicodeEncodeError) as ex:
            message = f"the request is not legal HTTP: {ex}"
            raise BadRequest(message) from ex
        except httpx.RequestError as ex:
            if (advice := self._scheme_advice(ex)) is not None:
                # A port that speaks TLS has not understood the request.
                raise ConnectionFailed(advice) from ex
            if request.is_write:
                message = (
                    f"{self.base_url} broke off ({_reason(ex)}); the write may or may not have "
                    "been applied: read before trying again"
                )
                raise OutcomeUnknown(message) from ex
            message = f"{self.base_url} broke off the answer ({_reason(ex)})"
            raise ConnectionFailed(message) from ex
        self._has_answered = True

    def _scheme_advice(self, ex: httpx.RequestError) -> str | None:
        """Return what is wrong with the scheme of the address, if the server never answered."""
        if self._has_answered or isinstance(ex, httpx.TimeoutException):
            return None
        return scheme_advice(self.base_url, ex)

    def _url(self, path: str) -> httpx.URL:
        # As raw bytes the path is sent as it is. Otherwise httpx resolves dots, and quotes again
        # what it takes for unquoted.
        prefix = self._base_url.raw_path.rstrip(b"/")
        return self._base_url.copy_with(raw_path=prefix + path.encode("ascii"))


def _wait_before_retry_s(request: Request, response: httpx.Response, attempt: int) -> float | None:
    """Return the seconds to wait before sending again; ``None`` if the answer is final."""
    if response.status_code in _REFUSED_STATUSES:
        asked_s = retry_after_s(response)
        if asked_s is not None:
            return asked_s if asked_s <= _RETRY_AFTER_MAX_S else None
    if response.status_code in _GATEWAY_STATUSES and not request.is_write:
        return backoff_s(attempt)
    return None


def _outcome(request: Request, response: httpx.Response) -> httpx.Response | None:
    if response.is_success:
        return response
    # Only the server itself can say that a key is absent: a 404 of another program at this
    # address must not read as "deleted".
    if response.status_code == 404 and problem_name(response) == "not-found":
        return None
    raise error_of(response, is_write=request.is_write)


def backoff_s(attempt: int) -> float:
    """Double the wait each time, with jitter so that many clients do not return at once."""
    return min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0**attempt) * random.uniform(0.5, 1.0)


def _reason(ex: Exception) -> str:
    return str(ex) or type(ex).__name__


def _advice(ex: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(ex):
        return "name the authority that signed its certificate with ca_file (--ca-file)"
    return "is the server running?"


def _trusted(url: httpx.URL, ca_file: str | None) -> ssl.SSLContext | bool:
    """Return the authorities that may sign the server's certificate; ``True``: httpx's own list.

    httpx reads ``SSL_CERT_FILE`` only together with the proxies of the environment.
    """
    if url.scheme != "https":
        # Trusts no authority, and no connection uses it. Otherwise httpx loads its whole list,
        # which takes longer than a request.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    path = ca_file or os.environ.get("SSL_CERT_FILE")
    if not path:
        return True
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as ex:
        message = f"cannot use {path} as certificates of authorities: {ex}"
        raise BadRequest(message) from ex


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as ex:
        message = f"{url!r} is not a URL: {ex}"
        raise BadRequest(message) from ex
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query:
        message = f"{url!r} is not the address of a server; write it as http://HOST:PORT"
        raise BadRequest(message)
    return parsed


def _checked_token(token: str) -> str:
    if token.isascii() and token.isprintable() and token.strip() == token and token:
        return token
    message = "the token has characters that no token has; check it for a newline"
    raise BadRequest(message)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
