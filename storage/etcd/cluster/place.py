"""Where a store is in an etcd cluster: endpoints, name, TLS files, user.

    etcd://h1:2379,h2:2379,h3:2379/NAME
    etcds://USER:PASSWORD@h1,h2/NAME?ca=ca.pem&cert=client.pem&key=client.key

``etcds`` is TLS; without ``ca`` the servers' certificates are checked by the system's authorities.
``cert`` and ``key`` authenticate the client. Characters with a meaning in a URL are
percent-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress

_PORT: Final = 2_379
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OPTIONS: Final = frozenset({"ca", "cert", "key"})


@dataclass(frozen=True, slots=True)
class TlsPaths:
    """Files of PEM blocks: authorities, and the client's certificate with its key."""

    ca: Path | None
    cert: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """Where a store is.

    Attributes:
        endpoints: each ``HOST:PORT``.
        name: of the store in the cluster.
        tls: ``None`` for plain connections.
        user, password: ``None`` if the cluster needs none.
        shown: the address without its password.
    """

    endpoints: tuple[str, ...]
    name: str
    tls: TlsPaths | None
    user: str | None
    password: str | None
    shown: str

    @classmethod
    def of(cls, address: StoreAddress) -> EtcdPlace:
        """Read an address.

        Raises:
            InvalidAddress: a part of it is missing, or has no meaning.
        """
        parts = urlsplit(address.text)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        name = parts.path.removeprefix("/")
        if _NAME.fullmatch(name) is None:
            _refuse(address, "the name of a store has 1 to 100 letters, digits, dots, _ or -", name)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for option in options.keys() - _OPTIONS:
            _refuse(address, "an etcd address has the options ca, cert and key", option)
        is_tls = parts.scheme == "etcds"
        if options and not is_tls:
            _refuse(address, "ca, cert and key need TLS: write etcds://", parts.scheme)
        if ("cert" in options) != ("key" in options):
            _refuse(address, "cert and key belong together", ", ".join(options))
        paths = {option: Path(text) for option, text in options.items()}
        tls = TlsPaths(paths.get("ca"), paths.get("cert"), paths.get("key")) if is_tls else None
        return cls(
            tuple(_endpoint(address, host) for host in hosts.split(",")),
            name,
            tls,
            unquote(user) or None,
            unquote(password) or None,
            address.shown,
        )


def _endpoint(address: StoreAddress, text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host, port = None, 0
    if not host:
        _refuse(address, "an endpoint is HOST:PORT", text)
    return f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"


def _refuse(address: StoreAddress, rule: str, got: str) -> None:
    raise InvalidAddress(f"cannot use {address.shown}: {rule}; got {got!r}")
