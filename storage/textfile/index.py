"""The index of a text file: made once, kept in a file, shared by all processes that serve it.

It is an index file of the log store (``storage.log.index.file``) whose rows say:

* *position*: the offset of the line; *size*: as if the line were a record;
* *version*: the CRC32C of key, space and value, which verifies every read;
* *revision* 1; *type*: text if the value is valid UTF-8.

The index records its source (``TextSource``), and is made again if the source has changed.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.files import File, Files, file_size
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE, Limits
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import OVERHEAD, PUT
from rundlet_server.storage.log.index.columns import (
    KEY_BYTES_MAX,
    ROW_DTYPE,
    TAG_SHIFT,
    Columns,
    key_tag,
)
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.textfile.lines import BadFile, BadLine, is_utf8
from rundlet_server.storage.textfile.parsing import (
    FIRST_ERRORS_MAX,
    Lines,
    parse_lines,
    read_pieces,
)
from rundlet_server.storage.textfile.sorting import gather_keys, sort_keys

FORMAT_VERSION: Final = 2
"""The format of the rows; an index of another format is made again."""
REVISION: Final = 1
"""The revision of everything in a text file."""
_TYPES: Final = (DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class TextSource:
    """What an index is made of: the file as it is, and the rules for its lines.

    ``format``, of the index, is among them, so that comparing two sources compares it, too.
    """

    size: int
    mtime_ns: int
    inode: int
    any_key: bool
    skip_bad: bool
    key_bytes_max: int
    value_bytes_max: int
    format: int = FORMAT_VERSION

    @classmethod
    def of(cls, path: Path, *, any_key: bool, skip_bad: bool, limits: Limits) -> Self:
        """Return the source that the file is now.

        Raises:
            OSError: there is no file.
            InvalidRequest: it is no ordinary file, so it may not be readable twice.
        """
        # Not through ``storage.files``: the file is the user's, the engine never writes it.
        status = path.stat()
        if not path.is_file():
            raise InvalidRequest(f"{path} is not an ordinary file; name a file of keys and values")
        # Sizes in the index are 32-bit numbers.
        value_bytes_max = min(
            limits.value_bytes_max, (1 << 32) - 1 - OVERHEAD - limits.key_bytes_max
        )
        return cls(
            status.st_size,
            status.st_mtime_ns,
            status.st_ino,
            any_key,
            skip_bad,
            limits.key_bytes_max,
            value_bytes_max,
        )

    @property
    def limits(self) -> Limits:
        """The limits of keys and values."""
        return Limits(key_bytes_max=self.key_bytes_max, value_bytes_max=self.value_bytes_max)


class LinePlace(NamedTuple):
    """Where key, space and value of a line are in the file, and their CRC32C."""

    offset: int
    size: int
    checksum: int


class TextIndex:
    """An open index. All methods may be called from any thread, without a lock."""

    def __init__(self, files: Files, path: Path) -> None:
        """Map an index file and verify all of it.

        Raises:
            OSError: the index is missing, or cannot be read.
            Damaged, UnknownFormat: it is not a whole index file.
        """
        self._index = IndexFile(files, path, 0, file_size(files, path))
        self._index.verify()
        self.key_count = self._index.row_count

    @property
    def about(self) -> dict[str, int]:
        """The source, and counts: ``duplicates``, ``bad``, ``value_bytes``."""
        return self._index.about

    @property
    def store_id(self) -> str:
        """A digest of the file's content and the rules for its lines."""
        return bytes(self._index.store_id).hex()

    def is_of(self, source: TextSource) -> bool:
        """Return whether the index was made of this source, or by stricter rules for its lines.

        Every line that keeps stricter rules is a good one by these rules, too.
        """
        strict = replace(source, any_key=False, skip_bad=False)
        return any(asdict(each).items() <= self.about.items() for each in (source, strict))

    def find(self, key: bytes, at: int | None) -> Locator | None:
        """Return the line of a key, if it is there as of revision ``at``."""
        return self._index.find(key, at)

    def scan(
        self, start: bytes, at: int | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, Locator]]:
        """Yield keys from ``start`` on; in reverse, those below it downwards."""
        return self._index.scan(start, at, reverse=reverse)

    def count(self, low: bytes, high: bytes) -> int:
        """Count the keys that are >= ``low`` and < ``high``."""
        return max(0, self._index.lower_bound(high) - self._index.lower_bound(low))


def place_of(key: bytes, locator: Locator) -> LinePlace:
    """Return the place of a line, given its locator in the index."""
    return LinePlace(locator.position, len(key) + 1 + locator.value_size, locator.version)


@dataclass(frozen=True, slots=True)
class NewIndex:
    """An index in memory, to be written: about 70 bytes a line, and the keys."""

    columns: Columns
    store_id: bytes
    about: dict[str, int]

    @classmethod
    def read(cls, file: File, path: Path, source: TextSource) -> Self:
        """Read a text file; about two seconds and 250 MB of memory per million lines.

        Raises:
            BadFile: lines are bad, and are not to be skipped.
            OSError: the file cannot be read.
        """
        rows = _read_rows(file, path, source)
        order, is_same_as_next = sort_keys(rows.key_bytes, rows.key_ends)
        kept = order[~is_same_as_next]  # the last of the lines with the same key
        value_sizes = np.frombuffer(rows.value_sizes, np.uint32)[kept]
        counts = {
            "duplicates": len(order) - len(kept),
            "bad": rows.bad,
            "value_bytes": int(value_sizes.sum(dtype=np.uint64)),
        }
        return cls(rows.columns(kept), _store_id(file, source), asdict(source) | counts)

    def write(self, files: Files, target: Path) -> None:
        """Write the index to a file.

        Raises:
            OSError: the file cannot be written.
        """
        write_index(files, target, self.store_id, self.columns, self.about)


def _read_rows(file: File, path: Path, source: TextSource) -> _Rows:
    rows = _Rows()
    limits = source.limits
    for lines in parse_lines(file, path, any_key=source.any_key, limits=limits, size=source.size):
        rows.add(lines)
    if rows.bad and not source.skip_bad:
        raise BadFile(rows.bad, rows.first_errors)
    if len(rows.keys) > KEY_BYTES_MAX:
        raise InvalidRequest(f"{path} has more than 4 GiB of keys; load it into a store instead")
    return rows


def _store_id(file: File, source: TextSource) -> bytes:
    """Return an id that differs for every content, because entity tags are made of it."""
    digest = hashlib.blake2b(b"%d %d" % (source.any_key, source.skip_bad), digest_size=16)
    for piece in read_pieces(file, source.size):
        digest.update(piece)
    return digest.digest()


@dataclass(slots=True)
class _Rows:
    """The good lines of a file, as columns that grow: about 70 bytes a line."""

    keys: bytearray = field(default_factory=bytearray)
    key_sizes: array[int] = field(default_factory=lambda: array("I"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    value_sizes: array[int] = field(default_factory=lambda: array("I"))
    checksums: array[int] = field(default_factory=lambda: array("I"))
    tags: array[int] = field(default_factory=lambda: array("I"))
    types: bytearray = field(default_factory=bytearray)
    bad: int = 0
    first_errors: list[BadLine] = field(default_factory=list)

    @property
    def key_bytes(self) -> npt.NDArray[np.uint8]:
        """The bytes of all keys, one after the other."""
        return np.frombuffer(self.keys, np.uint8)

    @property
    def key_ends(self) -> npt.NDArray[np.int64]:
        """Where in them each key ends."""
        return np.cumsum(np.frombuffer(self.key_sizes, np.uint32), dtype=np.int64)

    def add(self, lines: Lines) -> None:
        """Add the lines of a block."""
        data = lines.data
        keys = [data[start:key_end] for start, key_end, _ in lines]
        self.keys += b"".join(keys)
        self.tags.extend([key_tag(key) for key in keys])
        self.checksums.extend([checksum(data[start:end]) for start, _, end in lines])
        if data.isascii():
            self.types += b"\1" * len(keys)
        else:
            self.types += bytes([is_utf8(data[key_end + 1 : end]) for _, key_end, end in lines])
        key_sizes = lines.key_ends - lines.starts
        value_sizes = lines.ends - lines.key_ends - 1
        self.key_sizes.frombytes(key_sizes.astype(np.uint32).tobytes())
        self.value_sizes.frombytes(value_sizes.astype(np.uint32).tobytes())
        self.offsets.frombytes((lines.starts + lines.offset).astype(np.uint64).tobytes())
        self.bad += lines.bad
        self.first_errors += lines.first_errors[: FIRST_ERRORS_MAX - len(self.first_errors)]

    def columns(self, kept: npt.NDArray[np.int64]) -> Columns:
        """Return the index of the lines with these numbers, which are in key order."""
        key_sizes = np.frombuffer(self.key_sizes, np.uint32)[kept]
        value_sizes = np.frombuffer(self.value_sizes, np.uint32)[kept]
        rows = np.zeros(len(kept) + 1, ROW_DTYPE)
        rows["key_offset"][1:] = np.cumsum(key_sizes)
        of_lines = rows[:-1]
        of_lines["revision"] = REVISION
        of_lines["position"] = np.frombuffer(self.offsets, np.uint64)[kept]
        of_lines["size"] = key_sizes + value_sizes + np.uint32(OVERHEAD)
        of_lines["version"] = np.frombuffer(self.checksums, np.uint32)[kept]
        of_lines["type"] = np.frombuffer(self.types, np.uint8)[kept]
        of_lines["flags"] = PUT
        tags = np.frombuffer(self.tags, np.uint32)[kept].astype(np.uint64)
        table = np.sort(tags << TAG_SHIFT | np.arange(len(kept), dtype=np.uint64))
        keys = gather_keys(self.key_bytes, self.key_ends, kept)
        no_rows = np.zeros(0, np.uint32)
        return Columns(rows, keys, table, _TYPES, no_rows, np.zeros(0, np.uint64))
