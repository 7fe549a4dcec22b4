"""Open the store at an address: the one place that knows which backends there are.

It is a ``match`` and no registry: a backend is a case here, and only that case imports what the
backend needs (docs/decisions/backends.md).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rundlet_server.storage.address import StoreAddress, missing_extra
from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.errors import InvalidAddress
from rundlet_server.storage.interface import Store
from rundlet_server.storage.settings import StoreSettings

if TYPE_CHECKING:
    from rundlet_server.storage.log.store import LogStore


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store runs, wherever it is; a backend ignores the options that mean nothing to it.

    Attributes:
        settings: limits, whether commits are refused, sync, history.
        any_key: keys of a text file need not be UUIDs.
        skip_bad: bad lines of a text file are left out.
    """

    settings: StoreSettings = field(default_factory=StoreSettings)
    any_key: bool = False
    skip_bad: bool = False


def open_store(
    address: StoreAddress, options: StoreOptions | None = None, measures: Measures | None = None
) -> Store:
    """Open a store.

    Args:
        address: where it is; a missing folder becomes a new, empty store.
        options: how it runs.
        measures: counts and times what it does.

    Raises:
        Damaged, UnknownFormat, BadFile, Unavailable: the store cannot be read.
        InvalidAddress: only a server can keep such a store.
        MissingBackend: an extra that its backend needs is not installed.
        OSError: the folder or the file cannot be used.
    """
    options = options or StoreOptions()
    settings = options.settings
    if measures is not None:
        settings = dataclasses.replace(settings, measures=measures)
    match address:
        case StoreAddress("folder", _, Path() as folder):
            return open_log_store(folder, settings)
        case StoreAddress("file", _, Path() as file):
            # numpy loads slowly, see ``open_log_store``.
            from rundlet_server.storage.textfile.store import open_text_file  # noqa: PLC0415

            return open_text_file(
                file,
                any_key=options.any_key,
                skip_bad=options.skip_bad,
                limits=settings.limits,
            )
        case StoreAddress("etcd"):
            return _open_etcd(address, settings)
        case StoreAddress("postgresql"):
            return _open_postgres(address, settings)
    message = "a store in memory ends with its server; start one: rundlet serve --in-memory"
    raise InvalidAddress(message)


def _open_etcd(address: StoreAddress, settings: StoreSettings) -> Store:
    try:
        from rundlet_server.storage.etcd.store import open_etcd_store  # noqa: PLC0415
    except ModuleNotFoundError as ex:
        raise missing_extra(address, "etcd", ex) from ex
    return open_etcd_store(address, settings)


def _open_postgres(address: StoreAddress, settings: StoreSettings) -> Store:
    try:
        from rundlet_server.storage.postgres.store import PostgresStore  # noqa: PLC0415
    except ModuleNotFoundError as ex:
        raise missing_extra(address, "postgres", ex) from ex
    return PostgresStore(address, settings)


def open_log_store(folder: Path, settings: StoreSettings | None = None) -> LogStore:
    """Open the log store in a folder; a missing folder becomes a new, empty store.

    Raises:
        Damaged, UnknownFormat: the store cannot be read.
        OSError: the folder cannot be used.
    """
    # Only here: a command that talks to a server does not need the engine with numpy, which
    # takes as long to load as all the rest.
    from rundlet_server.storage.log.store import LogStore  # noqa: PLC0415

    return LogStore(folder, settings or StoreSettings())
