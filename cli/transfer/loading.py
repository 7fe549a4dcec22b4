"""Loads a file into a store: one pass that only checks, then one that writes.

The first pass reads every row, so that a bad one is found before anything is stored. Then rows are
stored in batches. A file whose load broke off can be loaded again: storing a row twice changes
nothing but its version.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from rundlet_server.cli.exits import (
    CommandError,
    ExitCode,
    Interrupted,
    exit_code_of,
    message_of,
)
from rundlet_server.cli.place.target import Target
from rundlet_server.functions.transfer.formats import Format
from rundlet_server.functions.transfer.readers import reader_of
from rundlet_server.functions.transfer.rows import Rows, Rules
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.interface import Limits

_BLOCK_BYTES = 4 * 1024 * 1024
_SET_ROWS_MAX = 100_000
"""Beyond as many rows numpy counts the repeated keys: it takes a tenth of the memory."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to load.

    Attributes:
        name: for messages.
        file: its bytes, decompressed and seekable.
        format: of its rows.
        any_key: in lines of text, keys need not be UUIDs.
        strip_cr: lines of text end in CRLF.
        skip_bad: leave out bad rows instead of refusing the file.
    """

    name: str
    file: BinaryIO
    format: Format
    any_key: bool = False
    strip_cr: bool = False
    skip_bad: bool = False


@dataclass(slots=True)
class Loaded:
    """What a file held, and what became of it.

    Attributes:
        rows: good rows.
        duplicates: rows whose key came again in a later row.
        bad: rows left out because they were bad.
        expired: rows left out because they had expired.
        skipped: rows left out because their key had a value.
    """

    rows: int = 0
    duplicates: int = 0
    bad: int = 0
    expired: int = 0
    skipped: int = 0


class Progress(Protocol):
    """Follows how far a load has come; at first, while the file is checked, how far that is."""

    def begin(self, total: int) -> None:
        """Set the number of rows to come, and begin to count anew."""

    def advance(self, rows: int) -> None:
        """Count rows that are checked, or stored."""


@dataclass(slots=True)
class Extent:
    """How far a load has come, in rows; ``total`` is 0 while the file is being checked."""

    stored: int = 0
    total: int = 0


class Loading:
    """A load that was begun: the file is checked, and its rows are read again."""

    def __init__(
        self, source: Source, limits: Limits, loaded: Loaded, extent: Extent, progress: Progress
    ) -> None:
        self.source = source
        self.loaded = loaded
        self.extent = extent
        self._limits = limits
        self._progress = progress

    def parts(self) -> Iterator[Rows]:
        """Yield the rows, bad ones left out."""
        return _parts(self.source, self._limits)

    def advance(self, rows: int) -> None:
        """Count rows that are done."""
        self.extent.stored += rows
        self._progress.advance(rows)


@contextmanager
def checked(source: Source, target: Target, progress: Progress) -> Iterator[Loading]:
    """Check a file; store its rows within the block.

    Raises:
        CommandError: a row is bad, and nothing was loaded; or the store refused some rows, and
            those before them are stored.
        Interrupted: by Ctrl-C; some of the first rows are stored.
    """
    limits = limits_of(target)
    with saying_how_far() as extent:
        loaded = _check(source, limits, progress)
        extent.total = loaded.rows
        progress.begin(loaded.rows)
        yield Loading(source, limits, loaded, extent, progress)


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
    again = "run the same import again to store all"
    if not extent.stored:
        return f"some of the first of {extent.total:,} lines may be stored; {again}"
    done = f"the first {extent.stored:,} of {extent.total:,} lines are stored"
    return f"{done}; {again}: storing a line twice only adds a version"


def _check(source: Source, limits: Limits, progress: Progress) -> Loaded:
    loaded = Loaded()
    hashes = array("q")  # eight bytes a row instead of the key, so that any file can be counted
    now_us = system_clock_us()
    for rows in _parts(source, limits):
        if rows.bad_count and not source.skip_bad:
            bad = rows.bad[0]
            message = f"{source.name}:{bad.line}: {bad.reason}"
            raise CommandError(message, ExitCode.USAGE)
        loaded.bad += rows.bad_count
        loaded.rows += len(rows.rows)
        loaded.expired += sum(time <= now_us for time in rows.expires_us.values())
        hashes.extend(hash(row[0]) for row in rows.rows)
        progress.advance(len(rows.rows))
    loaded.duplicates = loaded.rows - _distinct(hashes)
    return loaded


def _distinct(hashes: array[int]) -> int:
    if len(hashes) <= _SET_ROWS_MAX:
        return len(set(hashes))
    import numpy as np  # noqa: PLC0415 - takes as long to load as all the rest

    return int(np.unique(np.frombuffer(hashes, dtype=np.int64)).size)


def _parts(source: Source, limits: Limits) -> Iterator[Rows]:
    source.file.seek(0)
    rules = Rules(limits, any_key=source.any_key, strip_cr=source.strip_cr)
    reader = reader_of(source.format, rules)
    for data in _blocks(source):
        yield reader.feed(data)
    yield reader.end()


def _blocks(source: Source) -> Iterator[bytes]:
    while data := source.file.read(_BLOCK_BYTES):
        yield data


def limits_of(target: Target) -> Limits:
    """Return the limits of a store on keys and values; the default of each that it does not say."""
    reported = target.info().get("limits")
    known = reported if isinstance(reported, dict) else {}
    default = Limits()

    def limit(name: str) -> int:
        member = known.get(name)
        return member if isinstance(member, int) else int(getattr(default, name))

    return Limits(limit("key_bytes_max"), limit("value_bytes_max"))
