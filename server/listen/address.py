"""Where a server listens: one port, held from before the start to the end."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from dataclasses import dataclass
from typing import Self


class PortError(OSError):
    """The port cannot be had: in use, not allowed, or no such address."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host, as given, a real port number, and how to speak there."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The address for people and clients; an address of all interfaces stays as it is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class HeldPort:
    """A TCP port that nobody else can take from now on.

    It is bound without ``SO_REUSEPORT``: with it the kernel would let a second server share the
    port of a running one, and requests would go to either. ``SO_REUSEADDR``, which makes a restart
    possible while old connections fade, is taken back after: of two sockets that have it and do
    not listen yet, neither is refused.

    Attributes:
        address: the host as given and the real port.
        numeric_host: the IP address that the host means.
        listener: the bound socket, for a server that listens on it in this process.
    """

    def __init__(self, host: str, port: int, *, scheme: str = "http") -> None:
        """Bind; port 0 lets the system choose.

        Raises:
            PortError: with a line that says what to do.
        """
        try:
            family, _, _, _, target = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self.listener = _bound_socket(family, target)
        except OSError as ex:
            raise PortError(_advice(ex, host, port)) from ex
        self.numeric_host, number = self.listener.getsockname()[:2]
        self.address = Address(host, number, scheme)

    def share_with_workers(self) -> None:
        """Let processes bind the same port that set ``SO_REUSEPORT``, as Granian's workers do.

        This socket gets none of their connections, for it does not listen. Elsewhere than on
        Linux workers inherit a socket of Granian's own, and the port is let go for that.
        """
        if sys.platform == "linux":
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            self.listener.close()

    def connect(self) -> socket.socket:
        """A connection to whoever listens on the port, for finding out whether somebody does.

        Raises:
            OSError: nobody does.
        """
        own = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # looked up, not bound
        host = own.get(self.numeric_host, self.numeric_host)
        return socket.create_connection((host, self.address.port), timeout=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host; a name counts by what it resolves to."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return all(ipaddress.ip_address(target[0]).is_loopback for *_, target in found)
    except (OSError, ValueError):
        return False


def require_address(host: str) -> None:
    """Refuse a host to listen on that is neither an address nor a name that leads to one.

    Raises:
        PortError: with a line that says so.
    """
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as ex:
        reason = getattr(ex, "strerror", None) or "impossible name"
        message = f"--host {host!r} leads to no address ({reason}); give a name or an IP address"
        raise PortError(message) from ex


def _bound_socket(family: int, target: tuple[object, ...]) -> socket.socket:
    """See ``HeldPort`` for why in this order."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(target)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        bound.close()
        raise
    return bound


def _advice(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop the other server or choose another --port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not allowed for this user; choose one above 1023"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"
