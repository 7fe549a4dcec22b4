"""Load a text file into a store.

1. Read the whole file and check every line: if one is bad, load nothing.
2. If its content was loaded into this folder before, stop: loading it again would undo later
   writes.
3. Read it again and commit it in transactions or, if it is long and the store can load many rows
   at once, by bulk load. A crash leaves some of the lines in the store and no mark: the next load
   begins anew and stores the same values.
4. Sync the store, whatever its policy, and only then set the mark.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import xxhash

from rundlet_server.storage.errors import ReadOnly, Unavailable
from rundlet_server.storage.files import File, Files, RealFiles
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE, Limits, Put, Row, Store, Txn
from rundlet_server.storage.textfile.lines import BadFile, BadLine, content_type_of
from rundlet_server.storage.textfile.marks import LoadMarks
from rundlet_server.storage.textfile.parsing import (
    FIRST_ERRORS_MAX,
    Lines,
    parse_lines,
    read_pieces,
)

_TXN_PUTS_MAX: Final = 1_000
_TXN_BYTES_MAX: Final = 8 * 1024 * 1024
_BULK_ROWS_MIN: Final = 10_000
"""Files with at least so many lines are stored by bulk load."""
_BULK_ROWS: Final = 65_536
_BULK_BYTES: Final = 6 * 1024 * 1024
"""So many rows or bytes, after a whole block, are loaded at once; other writers wait for about a
tenth of a second."""

Progress = Callable[[int, int, int], None]
"""Called after every step with: bytes of the file done, bytes in all, lines stored."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a file held, and what was done with it.

    Attributes:
        path: the file.
        rows: good lines.
        duplicates: good lines that a later line with the same key has replaced.
        bad: bad lines, which were left out.
        first_errors: the first of them.
        already_loaded: the file had been loaded before, so nothing was loaded now.
    """

    path: Path
    rows: int
    duplicates: int
    bad: int
    first_errors: tuple[BadLine, ...]
    already_loaded: bool

    def __str__(self) -> str:
        if self.already_loaded:
            return f"{self.path} was loaded before; nothing was changed"
        notes = []
        if self.duplicates:
            notes.append(f"{self.duplicates} replaced by a later line with the same key")
        if self.bad:
            notes.append(f"{self.bad} bad ones left out")
        noted = f" ({', '.join(notes)})" if notes else ""
        return f"loaded {self.rows} lines of {self.path}{noted}"


def load_text_file(
    store: Store,
    path: Path,
    *,
    any_key: bool = False,
    skip_bad: bool = False,
    progress: Progress | None = None,
    on_checked: Callable[[int], None] | None = None,
    folder: Path | None = None,
    force: bool = False,
    files: Files | None = None,
) -> LoadReport:
    """Load a text file into a store.

    Args:
        store: the store.
        path: the file.
        any_key: keys need not be UUIDs.
        skip_bad: leave out bad lines instead of refusing the file.
        progress: called after every step.
        on_checked: called once, before anything is stored, with the number of lines to store.
        folder: of the store, for the mark that this content was loaded; without it, no mark is read
            or set.
        force: load it even if it was loaded before.
        files: the file system.

    Raises:
        BadFile: lines are bad and are not to be skipped; nothing was loaded.
        ReadOnly: the store takes no writes.
        Unavailable: the file changed while it was loaded, or the store refused; earlier lines may
            be stored, the file is not marked, and it can be loaded again.
        OSError: the file cannot be read.
    """
    if store.info.read_only:
        raise ReadOnly("this store is served read-only; nothing can be loaded into it")
    files = files or RealFiles()
    file = files.open(path, writable=False)
    try:
        load = _Load(store, path, file, file.size(), any_key)
        report = load.check()
        if report.bad and not skip_bad:
            raise BadFile(report.bad, report.first_errors)
        marks = LoadMarks(files, folder) if folder is not None else None
        if marks and not force and marks.rows_loaded(report.digest) == report.rows:
            return report.report(path, already_loaded=True)
        if on_checked:
            on_checked(report.rows)
        load.commit(report, progress or _ignore)
        if marks:
            store.sync()
            marks.add(report.digest, report.rows)
        return report.report(path, already_loaded=False)
    finally:
        file.close()


@dataclass(frozen=True, slots=True)
class _Checked:
    """What the first reading found.

    Attributes:
        digest: SHA-256 of the file.
    """

    digest: bytes
    rows: int
    duplicates: int
    bad: int
    first_errors: tuple[BadLine, ...]

    def report(self, path: Path, *, already_loaded: bool) -> LoadReport:
        return LoadReport(
            path, self.rows, self.duplicates, self.bad, self.first_errors, already_loaded
        )


@dataclass(frozen=True, slots=True)
class _Load:
    """One load; it reads the file up to the size that it had at the beginning."""

    store: Store
    path: Path
    file: File
    size: int
    any_key: bool

    def check(self) -> _Checked:
        """Read every line, and change nothing."""
        bad = 0
        first_errors: list[BadLine] = []
        # Eight bytes a key instead of the key, so that any file can be counted. That two keys
        # out of a million have the same hash happens once in forty million files.
        hashes = array("Q")
        for lines in self._lines():
            data = lines.data
            hashes.extend(
                xxhash.xxh3_64_intdigest(data[start:key_end]) for start, key_end, _ in lines
            )
            bad += lines.bad
            first_errors += lines.first_errors[: FIRST_ERRORS_MAX - len(first_errors)]
        in_order = np.sort(np.frombuffer(hashes, np.uint64))
        duplicates = int(np.count_nonzero(in_order[1:] == in_order[:-1]))
        return _Checked(self._digest(), len(hashes), duplicates, bad, tuple(first_errors))

    def commit(self, checked: _Checked, progress: Progress) -> None:
        """Store every good line.

        Raises:
            Unavailable: this is not the file that was checked.
        """
        rows = 0
        is_long = checked.rows >= _BULK_ROWS_MIN
        has_bulk_load = "bulk_load" in self.store.info.features
        stored = self._load() if is_long and has_bulk_load else self._commit()
        for row_count, bytes_done in stored:
            rows += row_count
            progress(bytes_done, self.size, rows)
        if rows != checked.rows or self._digest() != checked.digest:
            raise Unavailable(f"{self.path} changed while it was loaded; load it again")

    def _load(self) -> Iterator[tuple[int, int]]:
        """Store the lines many at once; yield their number and the file offset behind them."""
        rows: list[Row] = []
        size = 0
        for lines in self._lines():
            rows += rows_of(lines)
            size += len(lines.data)
            if len(rows) >= _BULK_ROWS or size >= _BULK_BYTES:
                self.store.load(rows)
                yield len(rows), lines.offset + len(lines.data)
                rows, size = [], 0
        if rows:
            self.store.load(rows)
        self.store.finish_load()
        yield len(rows), self.size

    def _commit(self) -> Iterator[tuple[int, int]]:
        """Store the lines in transactions; yield what ``_load`` yields."""
        for puts, row_count, bytes_done in _transactions(self._lines(), self.store.info.limits):
            self.store.commit(Txn(puts))
            yield row_count, bytes_done

    def _lines(self) -> Iterator[Lines]:
        return parse_lines(
            self.file,
            self.path,
            any_key=self.any_key,
            limits=self.store.info.limits,
            size=self.size,
        )

    def _digest(self) -> bytes:
        digest = hashlib.sha256()
        for piece in read_pieces(self.file, self.size):
            digest.update(piece)
        return digest.digest()


def _transactions(blocks: Iterator[Lines], limits: Limits) -> Iterator[tuple[list[Put], int, int]]:
    """Yield writes for one transaction each, the number of their lines, and the offset behind.

    A transaction may write each key only once: the later line wins.
    """
    puts_max = min(_TXN_PUTS_MAX, limits.txn_ops_max)
    bytes_max = min(_TXN_BYTES_MAX, limits.txn_bytes_max)
    puts: dict[str, Put] = {}
    row_count = size = done = 0
    for lines in blocks:
        for put, line_size, end in _puts(lines):
            if len(puts) == puts_max or (puts and size + line_size > bytes_max):
                yield list(puts.values()), row_count, done
                puts, row_count, size = {}, 0, 0
            puts[put.key] = put
            row_count += 1
            size += line_size
            done = end
    if puts:
        yield list(puts.values()), row_count, done


def rows_of(lines: Lines) -> list[Row]:
    """Return key, value and content type of every line of a block."""
    data = lines.data
    if data.isascii():
        return [
            (data[start:key_end], data[key_end + 1 : end], TEXT_CONTENT_TYPE)
            for start, key_end, end in lines
        ]
    rows = []
    for start, key_end, end in lines:
        value = data[key_end + 1 : end]
        rows.append((data[start:key_end], value, content_type_of(value)))
    return rows


def _puts(lines: Lines) -> Iterator[tuple[Put, int, int]]:
    """Yield the writes of a block, each with the size of its line and the file offset behind it."""
    data = lines.data
    is_ascii = data.isascii()
    for start, key_end, end in lines:
        value = data[key_end + 1 : end]
        content_type = TEXT_CONTENT_TYPE if is_ascii else content_type_of(value)
        put = Put(data[start:key_end].decode(), value, content_type)
        yield put, end - start, lines.offset + min(end + 1, len(data))


def _ignore(_bytes_done: int, _bytes_total: int, _rows: int) -> None:
    """Do nothing: the caller follows no progress."""
