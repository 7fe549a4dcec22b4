"""Loads a file into a store: one pass that only checks, then one that writes.

The first pass reads every line, so that a bad one is found before anything is stored. Then
batches of rows are committed, each all or none. A file whose load broke off can be loaded
again: storing a row twice changes nothing but its version.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

from rundlet import Put, RundletError
from rundlet_server.cli.exits import CommandError, ExitCode, exit_code_of
from rundlet_server.cli.place.target import Target
from rundlet_server.cli.transfer.jsonlines import BadLine, Row
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.interface import Limits

_BATCH_BYTES_MAX = 8 * 1024 * 1024

Line = tuple[int, Row | BadLine]
"""A line's number from 1, with the row on it or with what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to load.

    Attributes:
        name: for messages.
        file: its bytes, seekable.
        read: reads all its lines.
        skip_bad: leave out bad lines instead of refusing the file.
    """

    name: str
    file: BinaryIO
    read: Callable[[BinaryIO], Iterator[Line]]
    skip_bad: bool


@dataclass(slots=True)
class Loaded:
    """What a file held, and what became of it.

    Attributes:
        rows: good lines.
        duplicates: rows whose key came again in a later line, which won.
        bad: lines left out because they were bad.
        expired: rows left out because they had expired.
    """

    rows: int = 0
    duplicates: int = 0
    bad: int = 0
    expired: int = 0


class Progress(Protocol):
    """Told how far a load has come."""

    def begin(self, total: int) -> None:
        """The number of rows to come."""

    def advance(self, rows: int) -> None:
        """So many more rows are stored."""


def load(source: Source, target: Target, progress: Progress) -> Loaded:
    """Load a file.

    Raises:
        CommandError: a line is bad, and nothing was loaded; or the store refused a batch, and
            the rows before it are stored.
    """
    limits = _limits_of(target)
    loaded = _check(source, limits)
    progress.begin(loaded.rows)
    stored = 0
    for batch, row_count in _batches(source, limits, loaded):
        try:
            target.txn(batch)
        except (RundletError, StoreError) as ex:
            if stored == 0:
                raise
            raise broken_off(ex, stored) from ex
        stored += row_count
        progress.advance(row_count)
    return loaded


def broken_off(cause: RundletError | StoreError, stored: int) -> CommandError:
    """The error of a load of which only the first rows were stored."""
    message = f"{cause} -- the first {stored} rows are stored; run the import again"
    return CommandError(message, exit_code_of(cause) or ExitCode.UNREACHABLE)


def _check(source: Source, limits: Limits) -> Loaded:
    loaded = Loaded()
    hashes = array("q")  # eight bytes a row instead of the key, so that any file can be counted
    for number, row in _lines(source, limits):
        if isinstance(row, BadLine):
            if not source.skip_bad:
                message = f"{source.name}:{number}: {row}"
                raise CommandError(message, ExitCode.USAGE)
            loaded.bad += 1
            continue
        loaded.rows += 1
        hashes.append(hash(row.key))
    import numpy as np  # noqa: PLC0415 - takes as long to load as all the rest

    loaded.duplicates = loaded.rows - np.unique(np.frombuffer(hashes, dtype=np.int64)).size
    return loaded


def _batches(source: Source, limits: Limits, loaded: Loaded) -> Iterator[tuple[list[Put], int]]:
    """Writes for one transaction each, with the number of rows they come from."""
    bytes_max = min(_BATCH_BYTES_MAX, limits.txn_bytes_max)
    batch: dict[str, Put] = {}
    row_count = size = 0
    for _, row in _lines(source, limits):
        if isinstance(row, BadLine):
            continue
        put = row.put(datetime.now(UTC))
        if put is None:
            loaded.expired += 1
            continue
        put_size = len(put.value) + len(put.key.encode())
        if batch and (len(batch) == limits.txn_ops_max or size + put_size > bytes_max):
            yield list(batch.values()), row_count
            batch, row_count, size = {}, 0, 0
        batch[put.key] = put  # a key at most once in a transaction; the later line wins
        row_count += 1
        size += put_size
    if batch:
        yield list(batch.values()), row_count


def _lines(source: Source, limits: Limits) -> Iterator[Line]:
    """Every line, also checked for what only the store would refuse."""
    source.file.seek(0)
    for number, row in source.read(source.file):
        if isinstance(row, BadLine):
            yield number, row
            continue
        try:
            _check_size(row, limits)
            row.put(datetime.now(UTC))
        except BadLine as ex:
            yield number, ex
        else:
            yield number, row


def _check_size(row: Row, limits: Limits) -> None:
    key_size = len(row.key.encode())
    if key_size > limits.key_bytes_max:
        message = f"the key has {key_size} bytes, at most {limits.key_bytes_max} are allowed"
        raise BadLine(message)
    if len(row.value) > limits.value_bytes_max:
        most = limits.value_bytes_max
        message = f"the value has {len(row.value)} bytes, at most {most} are allowed"
        raise BadLine(message)


def _limits_of(target: Target) -> Limits:
    """The store's limits; the usual ones where it does not tell."""
    told = target.info().get("limits")
    known = told if isinstance(told, dict) else {}
    usual = Limits()

    def limit(name: str, default: int) -> int:
        member = known.get(name)
        return member if isinstance(member, int) else default

    return Limits(
        key_bytes_max=limit("key_bytes_max", usual.key_bytes_max),
        value_bytes_max=limit("value_bytes_max", usual.value_bytes_max),
        txn_ops_max=limit("txn_ops_max", usual.txn_ops_max),
        txn_bytes_max=limit("txn_bytes_max", usual.txn_bytes_max),
    )
