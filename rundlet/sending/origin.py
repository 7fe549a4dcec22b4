"""One server: its address, the headers of all requests to it, and the meaning of failures."""

from __future__ import annotations

import os
import re
import ssl
from http.cookiejar import CookieJar
from ipaddress import ip_address
from typing import Final, NamedTuple

import httpx

from rundlet.calls.bodies import FileBody
from rundlet.calls.call import Request
from rundlet.errors import BadRequest, ConnectionFailed, OutcomeUnknown, RundletError
from rundlet.schemes import certificate_advice, reason_of
from rundlet.sending.retrying import may_repeat
from rundlet.version import __version__

FAILURES: Final = (httpx.RequestError, UnicodeEncodeError)
"""Exceptions of httpx if a request has no answer, or is not legal HTTP."""

_NOTHING_SENT: Final = (
    *(httpx.ConnectError, httpx.ConnectTimeout),
    *(httpx.PoolTimeout, httpx.ProxyError),
)
CONNECTIONS: Final = 100
"""In-flight requests of an ``AsyncClient`` at a time, and kept connections."""
LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS)
"""No maximum: a watch or an export keeps its connection, so it must not block other requests."""
_ILLEGAL: Final = (httpx.LocalProtocolError, UnicodeEncodeError)
_AUTHORITY_ADVICE: Final = "name the authority that signed its certificate with ca_file (--ca-file)"
_WAIT_S_MAX: Final = 86_400.0
"""More than any server waits; the timeout of a socket must not overflow."""
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9_/?=&-]|(?<!/)\.)+")
"""A path and query that httpx does not change."""


class Settings(NamedTuple):
    """The arguments of a client; attributes as in ``Client``."""

    token: str | None
    timeout_s: float
    retries: int
    ca_file: str | os.PathLike[str] | None
    idempotent_retries: bool = False


class NoCookies(CookieJar):
    """Ignores cookies: the server sets none, and to look for them takes a tenth of a request."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Ignore the cookies."""


class Origin:
    """One server.

    Attributes:
        timeout_s: for connecting, and for each pause in an answer.
        retries: how often to send a request again.
        has_answered: a server has answered at this address.
        has_keys, remembers_keys: see ``idempotency.Server``.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        """Check the arguments of a client.

        Raises:
            BadRequest: an argument is invalid.
        """
        self._url = _checked_url(url)
        if settings.retries < 0:
            message = f"retries is at least 0, got {settings.retries}"
            raise BadRequest(message)
        self._base = self.base_url
        self._prefix = self._url.raw_path.rstrip(b"/")
        self.retries = settings.retries
        self.timeout_s = settings.timeout_s
        self.has_answered = False
        self.has_keys = settings.idempotent_retries
        self.remembers_keys = False
        self._extensions = {"timeout": httpx.Timeout(settings.timeout_s).as_dict()}
        self._each_headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",  # the bytes as stored, and strong ETags
            "Connection": "keep-alive",
            "User-Agent": f"rundlet-client/{__version__}",
        }
        if settings.token is not None:
            self._each_headers["Authorization"] = f"Bearer {_checked_token(settings.token)}"
        self._headers = httpx.Headers(self._each_headers)
        # A forked child reads the file again, and may have another working directory.
        ca_file = settings.ca_file
        self._ca_path = None if ca_file is None else os.path.abspath(ca_file)

    @property
    def base_url(self) -> str:
        """The server's address, without a slash at the end."""
        return str(self._url).rstrip("/")

    @property
    def trusts_environment(self) -> bool:
        """Whether to use ``HTTP_PROXY`` and similar variables: not for a server on this machine."""
        return not _is_loopback(self._url.host)

    def trusted(self) -> ssl.SSLContext | bool:
        """Return the authorities that may sign the server's certificate; ``True``: httpx's list.

        httpx reads ``SSL_CERT_FILE`` only together with the proxies of the environment.
        """
        if self._url.scheme != "https":
            # Trusts no authority, and no connection uses it. Otherwise httpx loads its whole list,
            # which takes longer than a request.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        path = self._ca_path or os.environ.get("SSL_CERT_FILE")
        if not path:
            return True
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as ex:
            message = f"cannot use {path} as certificates of authorities: {ex}"
            raise BadRequest(message) from ex

    def prepared(self, request: Request, timeout: httpx.Timeout | None = None) -> httpx.Request:
        """Return a request of httpx with all headers, so that its clients need not add any.

        Args:
            request: the request to send.
            timeout: of this request; by default that of the client, after the request's wait.
        """
        if timeout is None and request.wait_s > 0:
            read_s = self.timeout_s + min(request.wait_s, _WAIT_S_MAX)
            timeout = httpx.Timeout(self.timeout_s, read=read_s)
        path = request.path
        if _PLAIN.fullmatch(path):
            url = httpx.URL(self._base + path)
        else:
            # Raw bytes take twice as long, but keep the path unchanged. Otherwise httpx resolves
            # dots, and quotes some characters again.
            url = self._url.copy_with(raw_path=self._prefix + path.encode("ascii"))
        headers = self._headers
        if request.headers:
            headers = httpx.Headers({**self._each_headers, **request.headers})
        body = request.body
        file = body if isinstance(body, FileBody) else None
        prepared = httpx.Request(
            request.method,
            url,
            headers=headers,
            content=None if isinstance(body, FileBody) else body,
            extensions=self._extensions if timeout is None else {"timeout": timeout.as_dict()},
        )
        if file is not None:
            prepared.stream = file
            prepared.headers["Content-Length"] = str(file.size)
        return prepared

    def needs_advice(self, ex: Exception) -> bool:
        """Return whether ``scheme_advice`` could explain why there is no answer."""
        if self.has_answered or isinstance(ex, httpx.TimeoutException | httpx.LocalProtocolError):
            return False
        if isinstance(ex, _NOTHING_SENT):
            return self._url.scheme == "https" and isinstance(ex, httpx.ConnectError)
        return isinstance(ex, httpx.RequestError)

    def error_of(self, ex: Exception, request: Request, advice: str | None) -> RundletError:
        """Return the error for a failed attempt; ``ConnectionFailed`` if another attempt is safe.

        Args:
            ex: one of ``FAILURES``.
            request: the request, which may or may not have been sent.
            advice: the result of ``scheme_advice``.
        """
        if isinstance(ex, _ILLEGAL):
            return BadRequest(f"the request is not legal HTTP: {ex}")
        if advice is not None:
            return ConnectionFailed(advice)  # a port that speaks TLS has not understood the request
        if isinstance(ex, _NOTHING_SENT):
            message = f"no answer from {self.base_url} ({_reason(ex)}); {_advice(ex)}"
            return ConnectionFailed(message)
        if may_repeat(request):
            return ConnectionFailed(f"{self.base_url} broke off the answer ({_reason(ex)})")
        message = (
            f"{self.base_url} broke off ({_reason(ex)}); the write may or may not have "
            "been applied: read before trying again"
        )
        return OutcomeUnknown(message)


def _reason(ex: Exception) -> str:
    if isinstance(ex, httpx.TimeoutException):
        return "timed out"
    return reason_of(ex)


def _advice(ex: Exception) -> str:
    advice = certificate_advice(ex, _AUTHORITY_ADVICE)
    return "is the server running?" if advice is None else advice


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
