"""Rows that are loaded in bulk: groups of transactions, each copied into the tables at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rundlet_server.storage.interface import Limits, Put, Row, Txn

_TXN_ROWS_MAX: Final = 1_000
_GROUP_ROWS_MAX: Final = 10_000
"""A group locks the store for a fraction of a second."""
_GROUP_BYTES_MAX: Final = 16 * 1024 * 1024


def transactions(rows: Iterable[Row], limits: Limits) -> Iterator[Sequence[Txn]]:
    """Yield the rows as groups of transactions, in order."""
    group: list[Txn] = []
    count = size = 0
    for puts in _puts(rows, limits):
        group.append(Txn(puts))
        count += len(puts)
        size += sum(len(put.value) for put in puts)
        if count >= _GROUP_ROWS_MAX or size >= _GROUP_BYTES_MAX:
            yield group
            group, count, size = [], 0, 0
    if group:
        yield group


def _puts(rows: Iterable[Row], limits: Limits) -> Iterator[Sequence[Put]]:
    """Yield the puts of one transaction each; of rows with the same key, the last one wins."""
    puts: dict[bytes, Put] = {}
    size = 0
    for key, value, content_type in rows:
        row_size = len(key) + len(value)
        is_full = len(puts) >= min(limits.txn_ops_max, _TXN_ROWS_MAX)
        if puts and (is_full or size + row_size > limits.txn_bytes_max):
            yield list(puts.values())
            puts, size = {}, 0
        puts[key] = Put(key.decode(), value, content_type)
        size += row_size
    if puts:
        yield list(puts.values())
