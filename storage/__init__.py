"""The engine. Handlers and the CLI need nothing deeper than this package and its first level.

``address`` is where a store is and ``opening`` opens it; ``interface`` says what it can do,
``errors`` how it fails. ``log`` is our own append-only log store, ``textfile`` serves a key-value
text file read-only, ``tokens`` says who may use a server, ``counting`` counts over its processes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.counting.counters import OperationCounters, SharedCounters
from rundlet_server.storage.interface import Store
from rundlet_server.storage.log.settings import StoreSettings, SyncPolicy
from rundlet_server.storage.opening import StoreOptions, open_log_store, open_store

if TYPE_CHECKING:
    from rundlet_server.storage.log.check.inspection import Inspection, inspect
    from rundlet_server.storage.log.check.opened import Problem
    from rundlet_server.storage.log.check.verify import VerifyReport, verify
    from rundlet_server.storage.log.repair.run import LostVersion, RepairReport, repair
    from rundlet_server.storage.log.repair.sources import Loss
    from rundlet_server.storage.log.store import LogStore
    from rundlet_server.storage.textfile import (
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
    "Inspection",
    "LoadReport",
    "LogStore",
    "Loss",
    "LostVersion",
    "OperationCounters",
    "Problem",
    "RepairReport",
    "SharedCounters",
    "Store",
    "StoreAddress",
    "StoreOptions",
    "StoreSettings",
    "SyncPolicy",
    "VerifyReport",
    "inspect",
    "load_text_file",
    "open_log_store",
    "open_store",
    "open_text_file",
    "parse_lines",
    "repair",
    "split_line",
    "verify",
]


# Loaded at first use: a command that talks to a server needs the errors and the words of the
# interface, but not the engine with numpy, which takes as long to load as all the rest.
_HOMES = {
    "rundlet_server.storage.log.check.inspection": ("Inspection", "inspect"),
    "rundlet_server.storage.log.repair.run": ("LostVersion", "RepairReport", "repair"),
    "rundlet_server.storage.log.repair.sources": ("Loss",),
    "rundlet_server.storage.log.check.opened": ("Problem",),
    "rundlet_server.storage.log.store": ("LogStore",),
    "rundlet_server.storage.log.check.verify": ("VerifyReport", "verify"),
    "rundlet_server.storage.textfile": (
        "BadFile",
        "BadLine",
        "LoadReport",
        "load_text_file",
        "open_text_file",
        "parse_lines",
        "split_line",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a part of the engine (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'storage' has no attribute {name!r}")
    found: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found
