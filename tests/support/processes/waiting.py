"""Processes that wait for commits, or die while others wait, for the tests of waiting."""

from __future__ import annotations

import os
import signal
import struct
from multiprocessing.connection import Connection
from pathlib import Path

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.waiting import fifo as fifo_module
from rundlet_server.storage.log.waiting import waiting
from rundlet_server.storage.log.waiting.waker import Waker
from tests.support import PATIENCE_S
from tests.support.processes.stores import open_tiny

SEEN = struct.Struct("<Q")


def follow(folder: Path, seen: Connection) -> None:
    """Report every head that a wait returns, from the first on; only a FIFO ends a wait."""
    waiting._LOOK_EVERY_S = PATIENCE_S * 10
    fifo_module._LOCK_TIMEOUT_S = PATIENCE_S  # others come at the same time, and it tries only once
    store = open_tiny(folder, is_inline=False)
    head = store.stats().revision
    while True:
        seen.send_bytes(SEEN.pack(head))
        head = store.wait(head, PATIENCE_S * 10)


def follow_beside_a_child(folder: Path, told: Connection) -> None:
    """Wait, fork a child that reports its process number and sleeps, and wait until killed."""
    store = open_tiny(folder, is_inline=False)
    fifo = store.waiting.open_fifo()
    if not os.fork():
        told.send(os.getpid())  # the child itself, because it has closed its copies by now
        signal.pause()
    fifo.wait(PATIENCE_S * 10)
    signal.pause()


def die_before_waking(folder: Path) -> None:
    """Commit, and die between the publication and the wake-up."""
    Waker.wake = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign] # bug
    open_tiny(folder).commit(Txn([Put("last words", b"")]))


def write_until_killed(folder: Path, written: Connection) -> None:
    """Commit again and again; report every revision that was acknowledged."""
    store = open_tiny(folder)
    while True:
        written.send_bytes(SEEN.pack(store.commit(Txn([Put("a", b"")])).revision))
