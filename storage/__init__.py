"""The engine. Handlers and the CLI need nothing deeper than this package and its first level.

``interface`` says what a store can do, ``errors`` how it fails, ``settings`` how it runs;
``log`` is our own append-only log store, ``textfile`` serves a key-value text file read-only,
``counters`` counts operations over the processes of a server.
"""

from pathlib import Path

from storage.counters import OperationCounters
from storage.interface import Store
from storage.log.repair import LostVersion, RepairReport, repair
from storage.log.repair_sources import Loss
from storage.log.snapshot import Problem
from storage.log.store import LogStore
from storage.log.verify import VerifyReport, verify
from storage.settings import StoreSettings, SyncPolicy
from storage.textfile import (
    BadFile,
    BadLine,
    LoadReport,
    load_text_file,
    open_text_file,
    parse_lines,
    split_line,
)

__all__ = [
    "BadFile",
    "BadLine",
    "LoadReport",
    "LogStore",
    "Loss",
    "LostVersion",
    "OperationCounters",
    "Problem",
    "RepairReport",
    "Store",
    "StoreSettings",
    "SyncPolicy",
    "VerifyReport",
    "load_text_file",
    "open_store",
    "open_text_file",
    "parse_lines",
    "repair",
    "split_line",
    "verify",
]


def open_store(path: Path, settings: StoreSettings | None = None) -> LogStore:
    """Open the log store in a folder; a missing folder becomes a new, empty store.

    Raises:
        Damaged, UnknownFormat: what is there cannot be read.
        OSError: the folder cannot be used.
    """
    return LogStore(path, settings or StoreSettings())
