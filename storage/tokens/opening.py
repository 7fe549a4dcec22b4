"""Find the tokens that belong to a store."""

from __future__ import annotations

from pathlib import Path

from rundlet_server.storage.address import StoreAddress, missing_extra
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.interface import TokenStore


def open_tokens(address: StoreAddress, folder: Path | None = None) -> TokenStore | None:
    """Return the tokens of a store; ``None`` if the store has no place to keep any.

    Args:
        address: of the store; a store in a folder keeps its tokens there, too.
        folder: keeps them instead, whatever the store.

    Raises:
        MissingBackend: the store keeps its tokens itself, and an extra is not installed.
        Unavailable: the store keeps its tokens itself, and does not answer.
    """
    if folder is not None:
        return TokenFile(folder)
    match address.scheme:
        case "folder":
            return None if address.folder is None else TokenFile(address.folder)
        case "file" | "memory":
            return None
        case "etcd":
            try:
                # gRPC loads slowly, and is an extra.
                from rundlet_server.storage.tokens.etcd import EtcdTokens  # noqa: PLC0415
            except ModuleNotFoundError as ex:
                raise missing_extra(address, "etcd", ex) from ex
            return EtcdTokens(address)
        case "postgresql":
            try:
                from rundlet_server.storage.tokens.postgres import PostgresTokens  # noqa: PLC0415
            except ModuleNotFoundError as ex:
                raise missing_extra(address, "postgres", ex) from ex
            return PostgresTokens(address)
