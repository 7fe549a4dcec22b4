"""Parse the address of a store: the text that ``--store`` and ``RUNDLET_STORE`` take.

    ./data                          the log store in a folder
    file:words.txt                  a key-value text file, read-only
    memory                          a store that ends with its server
    etcd://h1:2379,h2:2379/NAME     a name in an etcd cluster; etcds:// with TLS
    postgresql://USER@HOST/NAME     a PostgreSQL database

Reading an address opens nothing; ``storage.opening`` knows which backends this release has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rundlet_server.storage.errors import InvalidAddress, MissingBackend

Scheme = Literal["folder", "file", "memory", "etcd", "postgresql"]

MEMORY: Final = "memory"
_FILE: Final = "file:"
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_HIDDEN: Final = "***"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is.

    Attributes:
        scheme: the kind of store.
        text: what ``parse`` reads this address from; may hold a password.
        path: of the folder or the text file; ``None`` for a store that is neither.
    """

    scheme: Scheme
    text: str
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> StoreAddress:
        """Read an address; a text without a known scheme is the path of a folder.

        Raises:
            InvalidAddress: a part is missing, or there is no such scheme.
        """
        if text == MEMORY:
            return cls("memory", text)
        if text.startswith(_FILE) and not text.startswith(f"{_FILE}//"):
            return cls.of_file(Path(_required(text.removeprefix(_FILE), text, "file:words.txt")))
        url = _URL.fullmatch(text)
        if url is None:
            return cls.of_folder(Path(_required(text, text, "./data")))
        match url[1].lower():
            case "etcd" | "etcds":
                hosts, _, name = url[2].partition("/")
                _required(all(hosts.split(",")) and name, text, "etcd://h1:2379,h2:2379/NAME")
                return cls("etcd", text)
            case "postgresql" | "postgres":
                _required(url[2], text, "postgresql://USER@HOST/NAME")
                return cls("postgresql", text)
        message = (
            f"a store has no scheme {url[1]!r}; give a folder, file:PATH, memory, etcd://HOSTS/NAME"
            " or postgresql://HOST/NAME (for a running server use --url)"
        )
        raise InvalidAddress(message)

    @classmethod
    def of_folder(cls, path: Path) -> StoreAddress:
        """Return the address of the log store in a folder, even one named like a scheme."""
        text = str(path)
        is_another = text == MEMORY or text.startswith(_FILE) or _URL.match(text)
        return cls("folder", f"./{text}" if is_another else text, path)

    @classmethod
    def of_file(cls, path: Path) -> StoreAddress:
        """Return the address of a text file."""
        return cls("file", f"{_FILE}{path}", path)

    @property
    def folder(self) -> Path | None:
        """The folder; ``None`` if the store is not in one."""
        return self.path if self.scheme == "folder" else None

    @property
    def shown(self) -> str:
        """The address for people, logs and error messages, without its password."""
        if self.path is not None or self.scheme == "memory":
            return self.text
        return without_password(self.text)


def missing_extra(address: StoreAddress, extra: str, ex: ModuleNotFoundError) -> MissingBackend:
    """Return the error for an address whose backend needs an extra that is not installed."""
    message = (
        f"cannot open {address.shown}: the package {ex.name!r} is not installed; install the extra:"
        f" pip install 'rundlet[{extra}]'"
    )
    return MissingBackend(message)


def _required(part: str | bool, text: str, example: str) -> str:
    if not part:
        message = f"{without_password(text)!r} is no address of a store; write it as {example}"
        raise InvalidAddress(message)
    return str(part)


def without_password(text: str) -> str:
    """Hide the password in a URL: between the user's name and the host, or in ``password=``.

    A password with unescaped ``/``, ``?`` or ``@`` is hidden, too, so this hides up to the last
    ``@``.
    """
    text = re.sub(r"(?s)(://[^:@/]*:).*@", rf"\1{_HIDDEN}@", text)
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", rf"\1{_HIDDEN}", text)
