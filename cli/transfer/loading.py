"""Loads a file into a store: one pass that only checks, then one that writes.

The first pass reads every line, so that a bad one is found before anything is stored. Then
batches of rows are committed, each all or none. A file whose load broke off can be loaded
again: storing a row twice changes nothing but its version.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple, Protocol

from rundlet import Put
from rundlet_server.cli.exits import (
    CommandError,
    ExitCode,
    Interrupted,
    exit_code_of,
    message_of,
)
from rundlet_server.cli.place.target import Target
from rundlet_server.cli.transfer.jsonlines import BadLine, Row

_BATCH_BYTES_MAX = 8 * 1024 * 1024
_SET_ROWS_MAX = 100_000
"""Beyond as many rows numpy counts the repeated keys: it takes a tenth of the memory."""

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


class Limits(NamedTuple):
    """The limits of a store that a file must fit into; see ``storage.interface.Limits``."""

    key_bytes_max: int
    value_bytes_max: int
    txn_ops_max: int
    txn_bytes_max: int


class Progress(Protocol):
    """Follows how far a load has come."""

    def begin(self, total: int) -> None:
        """Set the number of rows to come."""

    def advance(self, rows: int) -> None:
        """Count rows that are stored."""


def load(source: Source, target: Target, progress: Progress) -> Loaded:
    """Load a file.

    Raises:
        CommandError: a line is bad, and nothing was loaded; or the store refused a batch, and
            the rows before it are stored.
        Interrupted: by Ctrl-C; the rows up to some batch are stored.
    """
    limits = _limits_of(target)
    with saying_how_far() as extent:
        loaded = _check(source, limits)
        extent.total = loaded.rows
        progress.begin(loaded.rows)
        for batch, row_count in _batches(source, limits, loaded):
            target.txn(batch)
            extent.stored += row_count
            progress.advance(row_count)
    return loaded


@dataclass(slots=True)
class Extent:
    """How far a load has come, in rows; ``total`` is 0 while the file is being checked."""

    stored: int = 0
    total: int = 0


@contextmanager
def saying_how_far() -> Iterator[Extent]:
    """Add to whatever ends a load early how far it came and how to go on.

    Raises:
        CommandError: instead of an error after the first rows were stored.
        Interrupted: instead of a ``KeyboardInterrupt``.
    """
    extent = Extent()
    try:
        yield extent
    except KeyboardInterrupt as ex:
        if not extent.total:
            raise Interrupted("interrupted while checking the file; nothing is stored") from ex
        raise Interrupted(f"interrupted: {_stored(extent)}") from ex
    except Exception as ex:
        code = exit_code_of(ex)
        if code is None or not extent.stored:
            raise
        raise CommandError(f"{message_of(ex)} -- {_stored(extent)}", code) from ex


def _stored(extent: Extent) -> str:
    return (
        f"the first {extent.stored} of {extent.total} lines are stored; run the same import again"
        " to store all: storing a line twice only adds a version"
    )


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
    loaded.duplicates = loaded.rows - _distinct(hashes)
    return loaded


def _distinct(hashes: array[int]) -> int:
    if len(hashes) <= _SET_ROWS_MAX:
        return len(set(hashes))
    import numpy as np  # noqa: PLC0415 - takes as long to load as all the rest

    return int(np.unique(np.frombuffer(hashes, dtype=np.int64)).size)


def _batches(source: Source, limits: Limits, loaded: Loaded) -> Iterator[tuple[list[Put], int]]:
    """Yield the writes of one transaction each, with the number of rows they come from."""
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
    """Yield every line, checked for what only the store would refuse, too."""
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
    """Return the store's limits; the default of each that it does not report."""
    reported = target.info().get("limits")
    known = reported if isinstance(reported, dict) else {}

    def limit(name: str) -> int:
        member = known.get(name)
        return member if isinstance(member, int) else _default_limit(name)

    return Limits(*map(limit, Limits._fields))


def _default_limit(name: str) -> int:
    from rundlet_server.storage.interface import Limits as StoreLimits  # noqa: PLC0415 - rarely needed

    default: int = getattr(StoreLimits(), name)
    return default
