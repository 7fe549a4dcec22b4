"""Loads a file into a store: the first pass only checks it, the second one writes.

The first pass reads every row, so that a bad row is found before anything is stored. The second one
stores rows in batches. If a load broke off, the file can be loaded again: to store a row twice
changes only its version.
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
"""With more rows, numpy counts the repeated keys, in a tenth of the memory."""


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
    """The result of a load, in numbers of rows.

    Attributes:
        rows: good rows.
        duplicates: rows whose key comes again in a later row.
        bad: bad rows, which were skipped.
        expired: rows that were skipped because they had expired.
        skipped: rows that were skipped because their key had a value.
    """

    rows: int = 0
    duplicates: int = 0
    bad: int = 0
    expired: int = 0
    skipped: int = 0


class Progress(Protocol):
    """Shows the progress of a load: first of the check of the file, then of the storing."""

    def begin(self, total: int) -> None:
        """Set the number of rows to store, and restart the count."""

    def advance(self, rows: int) -> None:
        """Count checked or stored rows."""


@dataclass(slots=True)
class Extent:
    """The progress of a load, in rows; ``total`` is 0 while the file is being checked."""

    stored: int = 0
    total: int = 0


class Loading:
    """A load whose file is checked; its rows are read again to store them."""

    def __init__(
        self, source: Source, limits: Limits, loaded: Loaded, extent: Extent, progress: Progress
    ) -> None:
        self.source = source
        self.loaded = loaded
        self.extent = extent
        self._limits = limits
        self._progress = progress

    def parts(self) -> Iterator[Rows]:
        """Yield the good rows."""
        return _parts(self.source, self._limits)

    def advance(self, rows: int) -> None:
        """Count rows that are done."""
        self.extent.stored += rows
        self._progress.advance(rows)


@contextmanager
def checked(source: Source, target: Target, progress: Progress) -> Iterator[Loading]:
    """Check a file; store its rows within the block.

    Raises:
        CommandError: a row is bad, and nothing was stored; or the store refused a row, and the
            rows before it are stored.
        Interrupted: by Ctrl-C; some of the first rows may be stored.
    """
    limits = limits_of(target)
    with saying_how_far() as extent:
        loaded = _check(source, limits, progress)
        extent.total = loaded.rows
        progress.begin(loaded.rows)
        yield Loading(source, limits, loaded, extent, progress)


@contextmanager
def saying_how_far() -> Iterator[Extent]:
    """If a load ends early, add its progress and how to continue to the error.

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
    """Return the limits of a store on keys and values; a limit not reported has its default."""
    reported = target.info().get("limits")
    known = reported if isinstance(reported, dict) else {}
    default = Limits()

    def limit(name: str) -> int:
        member = known.get(name)
        return member if isinstance(member, int) else int(getattr(default, name))

    return Limits(limit("key_bytes_max"), limit("value_bytes_max"))
