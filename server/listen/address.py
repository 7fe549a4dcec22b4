"""The address of a server: one port, held from before the server starts until it ends."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from dataclasses import dataclass, replace
from typing import Final, Self

_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # looked up, not bound


class PortError(OSError):
    """The port cannot be bound: in use, not allowed, or no such address."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host as given, a real port number, and the scheme of its URL."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The URL for people and clients; an address of all interfaces stays as it is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def reachable(self) -> Address:
        """The address to connect to: if it is that of all interfaces, the loopback address."""
        return replace(self, host=_LOOPBACK_OF.get(self.host, self.host))


class HeldPort:
    """A TCP port that no other process can bind from now on.

    The socket is bound without ``SO_REUSEPORT``: with it, the kernel would let a second server
    share the port of a running one, and requests would go to either. ``SO_REUSEADDR`` makes a
    restart possible while old connections are in TIME_WAIT. It is cleared after binding, because
    the kernel lets two sockets that have it and do not listen yet bind the same port.

    Attributes:
        address: the host as given and the real port.
        numeric_host: the IP address that the host resolves to.
        listener: the bound socket, for a server that listens on it in this process.
    """

    def __init__(self, host: str, port: int, *, scheme: str = "http") -> None:
        """Bind the port; if it is 0, the system chooses one.

        Raises:
            PortError: the port cannot be bound; the message says what to do.
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
        """Allow processes that set ``SO_REUSEPORT``, as Granian's workers do, to bind the port.

        This socket gets none of their connections, because it does not listen. On systems other
        than Linux, workers inherit a socket that Granian binds itself, so the port is released.
        """
        if sys.platform == "linux":
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            self.listener.close()

    def connect(self) -> socket.socket:
        """Connect to the port, to find out whether a server listens on it.

        Raises:
            OSError: no server listens.
        """
        host = _LOOPBACK_OF.get(self.numeric_host, self.numeric_host)
        return socket.create_connection((host, self.address.port), timeout=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host; a name is resolved first."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return all(ipaddress.ip_address(target[0]).is_loopback for *_, target in found)
    except (OSError, ValueError):
        return False


def require_address(host: str) -> None:
    """Reject a host to listen on that is neither an IP address nor a name that resolves to one.

    Raises:
        PortError: the host does not resolve; the message says what to do.
    """
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as ex:
        reason = getattr(ex, "strerror", None) or "invalid name"
        raise PortError(
            f"--host {host!r} does not resolve to an address ({reason}); give an IP address of this"
            " machine, or a name that resolves to one"
        ) from ex


def _bound_socket(family: int, target: tuple[object, ...]) -> socket.socket:
    """Bind a socket; ``HeldPort`` explains the order of the steps."""
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
        return f"this user may not use port {port} on {host}; choose a --port above 1023"
    return (
        f"cannot listen on {host} port {port}: {error.strerror or error};"
        " check --host, which must be an address of this machine"
    )
