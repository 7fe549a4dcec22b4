"""By which names a server may be called: a defence against pages that rebind DNS.

A page of ``evil.example`` can make its name resolve to 127.0.0.1 after it was loaded. The browser
then treats a server on this machine as the page's own origin, so the page can read and write
everything that needs no token. But its requests still say ``Host: evil.example``.
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
    """The names by which a server on this machine may be called while it has no tokens.

    These are addresses, names without a dot and names below ``.localhost``, as the public DNS
    cannot hold them, and the names it was given.
    """

    def __init__(self, names: Collection[str]) -> None:
        """``names`` are allowed besides the local ones."""
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
                f"without tokens, this server does not answer to the name {name[:100]!r}; call it"
                " by its address, start it with --allow-host NAME, or create a token"
            )
            raise Problem(403, "host-not-allowed", detail)
        if len(self._seen) < _SEEN_MAX:
            self._seen.add(host)


def _name_of(host: str) -> str:
    """Return a ``Host`` header without its port, as DNS compares names; unchanged if malformed."""
    parts = _HOST.fullmatch(host)
    return (parts[1] or parts[2]).lower().rstrip(".") if parts else host


def _is_local(name: str) -> bool:
    """Whether the public DNS cannot hold this name."""
    if not _NAME.fullmatch(name):
        return _is_address(name)
    return "." not in name or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
