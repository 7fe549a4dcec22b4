"""Check the host name in a request: a defence against web pages that rebind DNS.

A page of ``evil.example`` may make its own name resolve to 127.0.0.1 after it is loaded. The
browser then treats a server on this machine as the origin of the page, and the page may read and
write everything that needs no token. But its requests still say ``Host: evil.example``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Final

from rundlet_server.functions.problems import Problem

_SEEN_MAX: Final = 1_000
_HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:]+))(?::[0-9]*)?")
_NAME: Final = re.compile(r"[a-z0-9_.\-]+")


class HostNames:
    """The names by which clients may call a server on this machine that has no tokens.

    These are IP addresses, names without a dot, names below ``.localhost`` (none of which a page
    can register in the public DNS), and the names that the server was given.
    """

    def __init__(self, names: Collection[str]) -> None:
        """Allow ``names``, in addition to the names that are always allowed."""
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._seen: set[str] = set()

    def require_own(self, environ: Mapping[str, object]) -> None:
        """Reject a request that calls the server by another name.

        Raises:
            Problem: 403 ``host-not-allowed``.
        """
        host = environ.get("HTTP_HOST")
        if not host or not isinstance(host, str):
            return  # HTTP/1.0, which no browser uses; HTTP/1.1 without a host was rejected
        if not self.is_own(host):
            detail = (
                f"this server does not answer to the name {_name_of(host)[:100]!r}; start it with"
                " --allow-host NAME, create a token, or let the proxy in front send another Host"
            )
            raise Problem(403, "host-not-allowed", detail)

    def is_own(self, host: str) -> bool:
        """Return whether a ``Host`` header has a name by which clients may call the server."""
        if host in self._seen:
            return True
        name = _name_of(host)
        if name not in self._names and not _is_local(name):
            return False
        if len(self._seen) < _SEEN_MAX:
            self._seen.add(host)
        return True


def _name_of(host: str) -> str:
    """Return the name in a ``Host`` header as DNS compares names; an invalid header unchanged."""
    parts = _HOST.fullmatch(host)
    return (parts[1] or parts[2]).lower().rstrip(".") if parts else host


def _is_local(name: str) -> bool:
    """Return whether it is an address or a name that cannot be registered in the public DNS."""
    if not _NAME.fullmatch(name):
        return _is_address(name)
    return "." not in name or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
