"""Recognizes why HTTPS fails: the scheme of the address is wrong, or the certificate is bad."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

_PROBE_TIMEOUT_S: Final = 2.0
_NOT_TLS: Final = re.compile("WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE")
"""Errors of OpenSSL for an answer in plain text; they depend on its version."""
_NOT_HTTP: Final = re.compile(r"\Aillegal request line\Z|\A\x15\x03")
"""The error of httpx for a TLS alert, and the alert itself, which ``http.client`` reports."""
_HTTPS_PORT: Final = re.compile("HTTPS (?:port|server)|SSL-enabled server port")
"""The messages of nginx, Go and Apache to plain HTTP on such a port, with the status 400."""
_CERTIFICATE_ADVICE: Final = {
    "certificate has expired": "renew it on the server",
    "certificate is not yet valid": "compare the clocks of both machines",
    "Hostname mismatch": "use a name that the certificate has",
    "IP address mismatch": "use a name that the certificate has",
}
"""What to do about each reason for which OpenSSL refuses a certificate."""

_NOISE: Final = re.compile(r"\[[^]]*\] | \(_ssl\.c:\d+\)")


def reason_of(ex: Exception) -> str:
    """Return why there is no answer, without OpenSSL's error numbers and source lines."""
    return _NOISE.sub("", str(ex)) or type(ex).__name__


def certificate_advice(ex: Exception, authority_advice: str) -> str | None:
    """Return what to do if a certificate was refused; ``None`` if it was not.

    Args:
        ex: why there is no answer.
        authority_advice: what to do about an authority that is not trusted.
    """
    reason = str(ex)
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return None
    fitting = (advice for text, advice in _CERTIFICATE_ADVICE.items() if text in reason)
    return next(fitting, authority_advice)


def scheme_advice(url: str, ex: Exception) -> str | None:
    """Return what is wrong with the scheme of an address, and the right address.

    Args:
        url: the address of the request.
        ex: why there is no answer. If the answer is not HTTP, this checks the port with a TLS
            handshake, which takes at most 2 s and sends nothing else. If the port only closed the
            connection, it makes no handshake, because a server that ends does that, too.

    Returns:
        A clause; ``None`` if the scheme is right or unknown.
    """
    if urlsplit(url).scheme == "https":
        return _use_http(url) if _NOT_TLS.search(str(ex)) else None
    return _use_https(url) if _NOT_HTTP.search(str(ex)) and _speaks_tls(url) else None


def scheme_advice_of_answer(url: str, status: int, text: str) -> str | None:
    """Return the advice for an answer: other servers answer plain HTTP on a port for HTTPS."""
    is_refused = status == 400 and urlsplit(url).scheme == "http" and _HTTPS_PORT.search(text)
    return _use_https(url) if is_refused else None


def _use_http(url: str) -> str:
    other = "http" + url.removeprefix("https")
    return f"{url} answers plain HTTP: use {other}, which is not encrypted"


def _use_https(url: str) -> str:
    other = "https" + url.removeprefix("http")
    return f"{url} answers HTTPS only: use {other}"


def _speaks_tls(url: str) -> bool:
    """Return whether a port answers a TLS handshake, even if it refuses it."""
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing secret is sent, and nothing received is used
    address = (parts.hostname or "", parts.port or 80)
    try:
        with socket.create_connection(address, timeout=_PROBE_TIMEOUT_S) as plain:
            context.wrap_socket(plain, server_hostname=parts.hostname).close()
    except ssl.SSLError as ex:
        return "ALERT" in str(ex)
    except (OSError, ValueError):
        return False
    return True
