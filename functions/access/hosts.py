"""By which names a server may be called: a defence against pages that rebind DNS.

A page of ``evil.example`` may have its name lead to 127.0.0.1 once it is loaded. For the browser,
a server on this machine is then the page's own, and it may read and write there whatever needs no
token. But its requests still say ``Host: evil.example``.
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
    """The names that a server on this machine answers to, where everybody may do everything.

    These are addresses, names without a dot and those below ``.localhost``, for nobody can have
    them in the public DNS, and the names it was given.
    """

    def __init__(self, names: Collection[str]) -> None:
        """``names`` beside those that always are."""
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._seen: set[str] = set()

    def require_own(self, environ: Mapping[str, object]) -> None:
        """Refuse a request that calls the server by another name.

        Raises:
            Problem: 403 ``host-not-allowed``.
        """
        host = environ.get("HTTP_HOST")
        if host in self._seen or not isinstance(host, str):
            return
        if not host:  # HTTP/1.0, which no browser speaks; HTTP/1.1 without a host was refused
            return
        name = _name_of(host)
        if name not in self._names and not _is_local(name):
            detail = (
                f"this server is not called {name[:100]!r}; start it with --allow-host NAME,"
                " make a token, or let the proxy in front send another Host"
            )
            raise Problem(403, "host-not-allowed", detail)
        if len(self._seen) < _SEEN_MAX:
            self._seen.add(host)


def _name_of(host: str) -> str:
    """A ``Host`` header without the port, as DNS compares names; as it is where it is none."""
    parts = _HOST.fullmatch(host)
    return (parts[1] or parts[2]).lower().rstrip(".") if parts else host


def _is_local(name: str) -> bool:
    """Whether nobody can have this name in the public DNS."""
    if not _NAME.fullmatch(name):
        return _is_address(name)
    return "." not in name or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
