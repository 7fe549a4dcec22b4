"""Bulk loads: commits of as many rows as etcd takes, several of them in flight.

A commit of a transaction reads its keys first. A load assumes that its keys are new, and writes
them on this condition: one call for 127 rows. If one of them has a value, the rows of that call are
committed as transactions are.

Rows are done in rounds, one call of each thread: a round begins when the one before is stored. In a
round, a key comes once, with its last value. So if a load fails, all earlier rounds are stored, and
any part of the failed round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rundlet_server.storage.etcd.cluster.requests import OPS_MAX
from rundlet_server.storage.etcd.commits import Commits
from rundlet_server.storage.etcd.layout import Envelope
from rundlet_server.storage.etcd.planning import Change
from rundlet_server.storage.etcd.views import Views
from rundlet_server.storage.interface import Limits, Put, Row, Txn
from rundlet_server.storage.requests import check_txn

_IN_FLIGHT: Final = 4
_ROWS_MAX: Final = OPS_MAX - 1
"""The last operation writes the counters."""
_BYTES_MAX: Final = 512 * 1024
_ROW_BYTES: Final = 300
"""The most bytes of a row in a request beside its value and its key, which is there twice."""


class Loader:
    """Loads rows into one store. Any thread may use it."""

    def __init__(self, views: Views, commits: Commits, limits: Limits) -> None:
        self._views = views
        self._commits = commits
        self._limits = limits

    def load(self, rows: Sequence[Row]) -> None:
        """See ``Store.load``.

        Raises:
            InvalidKey, LimitExceeded: of a row; nothing was stored.
            DiskFull, Unavailable, OutcomeUnknown: see the module for what is stored.
        """
        puts = [Put(key.decode(), value, content_type) for key, value, content_type in rows]
        for put in puts:
            check_txn(Txn([put]), self._limits)
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="rundlet-etcd-load") as pool:
            for batches in _rounds(puts):
                for _ in pool.map(self._store, batches):
                    pass

    def _store(self, puts: Sequence[Put]) -> None:
        time_us = self._views.clock.now_us()
        changes = [
            Change(
                put.key.encode(), None, Envelope("put", time_us, None, put.content_type, put.value)
            )
            for put in puts
        ]
        held = [(change.key, 0) for change in changes]
        if self._commits.write(changes, held, time_us) is not None:
            return
        count = self._limits.txn_ops_max
        for start in range(0, len(puts), count):
            self._commits.commit(Txn(puts[start : start + count]))


def _rounds(puts: Sequence[Put]) -> Iterator[Sequence[Sequence[Put]]]:
    """Yield the puts as rounds of batches; of puts with one key in a round, the last one wins."""
    found: dict[str, Put] = {}
    size = 0
    for put in puts:
        found[put.key] = put
        size += _size(put)
        if len(found) >= _ROWS_MAX * _IN_FLIGHT or size >= _BYTES_MAX * _IN_FLIGHT:
            yield list(_batches(found.values()))
            found, size = {}, 0
    if found:
        yield list(_batches(found.values()))


def _batches(puts: Iterable[Put]) -> Iterator[Sequence[Put]]:
    """Yield puts as batches that etcd takes."""
    batch: list[Put] = []
    size = 0
    for put in puts:
        if batch and (len(batch) >= _ROWS_MAX or size + _size(put) > _BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(put)
        size += _size(put)
    if batch:
        yield batch


def _size(put: Put) -> int:
    return 2 * len(put.key.encode()) + len(put.value) + _ROW_BYTES
