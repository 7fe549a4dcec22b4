"""Read text files block by block, and check all lines of a block at once with numpy.

``lines`` defines a good line, one line at a time. Here the same rules are applied to arrays: about
a million lines a second, and memory for one block whatever the file's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.files import File
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.textfile.lines import (
    JSON_STARTS,
    UUID_SIZE,
    BadLine,
    LineError,
    is_json,
    is_utf8,
    split_line,
)

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Bytes read at a time; more only for a line that is longer."""
FIRST_ERRORS_MAX: Final = 5
"""Bad lines that are described; the others are counted."""

_NEWLINE: Final = 0x0A
_SPACE: Final = 0x20
_JSON_STARTS: Final = np.frombuffer(JSON_STARTS, np.uint8)
_HEX, _DASH, _FOUR, _VARIANT, _BLANK = 1, 2, 4, 8, 16

Places = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]


def _byte_classes() -> _Bytes:
    """Return for every byte the classes it belongs to."""
    classes = np.zeros(256, np.uint8)
    members = {_HEX: b"0123456789abcdef", _DASH: b"-", _FOUR: b"4", _VARIANT: b"89ab", _BLANK: b" "}
    for byte_class, member_bytes in members.items():
        classes[np.frombuffer(member_bytes, np.uint8)] |= byte_class
    return classes


def _uuid_classes() -> _Bytes:
    """Return for every place of a UUID and the space behind it the class its byte must be in."""
    classes = np.full(UUID_SIZE + 1, _HEX, np.uint8)
    classes[[8, 13, 18, 23]] = _DASH
    classes[[14, 19, 36]] = [_FOUR, _VARIANT, _BLANK]
    return classes


_CLASSES_OF_BYTE: Final = _byte_classes()
_CLASS_AT_PLACE: Final = _uuid_classes()


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of one block of a file.

    Attributes:
        offset: of the block in its file.
        data: the bytes of the block.
        starts, key_ends, ends: places in ``data``, of the good lines only, in order; a key
            ends before its space, a line before its newline.
        bad: how many lines are bad.
        first_errors: the first of them.
    """

    offset: int
    data: bytes
    starts: Places
    key_ends: Places
    ends: Places
    bad: int
    first_errors: tuple[BadLine, ...]

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield start, end of the key, and end of every good line."""
        places = (self.starts.tolist(), self.key_ends.tolist(), self.ends.tolist())
        return zip(*places, strict=True)


def parse_lines(
    file: File,
    path: Path,
    *,
    any_key: bool = False,
    limits: Limits | None = None,
    size: int | None = None,
) -> Iterator[Lines]:
    """Yield the lines of a text file, block by block.

    Args:
        file: the open file.
        path: its name, for messages.
        any_key: keys need not be UUIDs.
        limits: of the store that is to take them: a longer key or value is a bad line.
        size: read only so many bytes; by default as many as there are at the beginning.
    """
    rules = _Rules(path, any_key, limits or Limits())
    number = 1
    for offset, data in _blocks(file, file.size() if size is None else size, rules.line_bytes_max):
        lines = rules.checked(offset, data, number)
        number += len(lines) + lines.bad
        yield lines


def check_block(
    data: bytes, number: int, *, any_key: bool = False, limits: Limits | None = None
) -> Lines:
    """Return the lines of a block of whole lines, the first of which has this number."""
    return _Rules(Path(), any_key, limits or Limits()).checked(0, data, number)


def numbers_of(lines: Lines, number: int) -> list[int]:
    """Return the numbers of the good lines of a block whose first line has this number."""
    newlines = np.flatnonzero(np.frombuffer(lines.data, np.uint8) == _NEWLINE)
    numbers: list[int] = (np.searchsorted(newlines, lines.starts) + number).tolist()
    return numbers


def read_pieces(file: File, size: int) -> Iterator[bytes]:
    """Yield the first ``size`` bytes of a file in order, a block at a time."""
    offset = 0
    while data := file.pread(min(BLOCK_BYTES, size - offset), offset):
        yield data
        offset += len(data)


def _blocks(file: File, size: int, line_bytes_max: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of blocks of whole lines.

    If a line is too long to be good, only its beginning is in its block, so that memory stays
    bounded.
    """
    offset, block_bytes = 0, BLOCK_BYTES
    while offset < size:
        data = file.pread(min(block_bytes, size - offset), offset)
        if not data:
            return  # the file became shorter
        is_last = offset + len(data) >= size
        whole = len(data) if is_last else data.rfind(b"\n") + 1
        if whole:
            yield offset, data[:whole] if whole < len(data) else data
            offset, block_bytes = offset + whole, BLOCK_BYTES
        elif len(data) <= line_bytes_max:
            block_bytes = 2 * block_bytes
        else:
            yield offset, data
            offset, block_bytes = _behind_newline(file, size, offset + len(data)), BLOCK_BYTES


def _behind_newline(file: File, size: int, offset: int) -> int:
    """Return where the next line starts."""
    while offset < size:
        data = file.pread(min(BLOCK_BYTES, size - offset), offset)
        place = data.find(b"\n")
        if place >= 0 or not data:
            return offset + place + 1 if data else size
        offset += len(data)
    return size


@dataclass(frozen=True, slots=True)
class _Rules:
    path: Path
    any_key: bool
    limits: Limits

    @property
    def line_bytes_max(self) -> int:
        """The most bytes that a good line can have."""
        key_bytes_max = self.limits.key_bytes_max if self.any_key else UUID_SIZE
        return key_bytes_max + 1 + self.limits.value_bytes_max

    def checked(self, offset: int, data: bytes, number: int) -> Lines:
        """Return the lines of a block whose first line has this number."""
        array = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(array == _NEWLINE)
        if array[-1] != _NEWLINE:
            ends = np.append(ends, len(data))
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
        if self.any_key:
            is_good, key_ends = self._any_keys(data, array, starts, ends)
        else:
            is_good, key_ends = _uuids(array, starts, ends)
        is_good &= ends - key_ends - 1 <= self.limits.value_bytes_max
        bad = np.flatnonzero(~is_good)
        errors = [
            BadLine(self.path, number + row, self._reason(data[starts[row] : ends[row]]))
            for row in bad[:FIRST_ERRORS_MAX].tolist()
        ]
        if len(bad):
            starts, key_ends, ends = starts[is_good], key_ends[is_good], ends[is_good]
        return Lines(offset, data, starts, key_ends, ends, len(bad), tuple(errors))

    def _any_keys(
        self, data: bytes, array: _Bytes, starts: Places, ends: Places
    ) -> tuple[_Flags, Places]:
        """Return which lines start with a legal key and a space, and where their keys end."""
        spaces = np.append(np.flatnonzero(array == _SPACE), len(data))
        key_ends = spaces[np.searchsorted(spaces, starts)]
        is_good = (key_ends < ends) & (key_ends > starts)
        is_good &= key_ends - starts <= self.limits.key_bytes_max
        for row in np.flatnonzero(is_good & np.isin(array[starts], _JSON_STARTS)).tolist():
            is_good[row] = not is_json(data[starts[row] : ends[row]])
        if not data.isascii():
            not_ascii = np.flatnonzero(array >= 0x80)
            count = np.searchsorted(not_ascii, key_ends) - np.searchsorted(not_ascii, starts)
            for row in np.flatnonzero(is_good & (count > 0)).tolist():
                is_good[row] = is_utf8(data[starts[row] : key_ends[row]])
        return is_good, key_ends

    def _reason(self, line: bytes) -> str:
        try:
            split_line(line, any_key=self.any_key, limits=self.limits)
        except LineError as ex:
            return str(ex)
        raise AssertionError(f"numpy and split_line differ on {line[:100]!r}")


def _uuids(array: _Bytes, starts: Places, ends: Places) -> tuple[_Flags, Places]:
    """Return which lines start with a UUID and a space, and where their keys end."""
    key_ends = starts + UUID_SIZE
    is_good = key_ends < ends
    if is_good.any():
        heads = np.lib.stride_tricks.sliding_window_view(array, UUID_SIZE + 1)[starts[is_good]]
        is_good[is_good] = (_CLASSES_OF_BYTE[heads] & _CLASS_AT_PLACE).all(axis=1)
    return is_good, key_ends
