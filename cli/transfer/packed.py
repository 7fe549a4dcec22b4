"""Read and write files that are compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.transfer.formats import is_packed

_GZIP = b"\x1f\x8b"
_GZIP_LEVEL = 6


class _Unpacked(gzip.GzipFile):
    """A file that is decompressed while it is read."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._shown = name

    def read(self, size: int | None = -1) -> bytes:
        """Read as any file; raise ``CommandError`` if the compressed data is damaged."""
        try:
            return super().read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as ex:
            message = f"{self._shown} is compressed with gzip, and damaged or not whole: {ex}"
            raise CommandError(message, ExitCode.USAGE) from ex


def has_gzip(file: BinaryIO) -> bool:
    """Return whether a seekable file is compressed; set its position to 0."""
    file.seek(0)
    start = file.read(len(_GZIP))
    file.seek(0)
    return start == _GZIP


def unpacked(name: str, file: BinaryIO) -> BinaryIO:
    """Return the file, decompressed if it is compressed; ``name`` is for messages."""
    return cast("BinaryIO", _Unpacked(name, file)) if has_gzip(file) else file


@contextmanager
def packing(file: Path, output: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file to write to; it compresses if the extension of the file is ``.gz``."""
    if not is_packed(file):
        yield output
        return
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, output, 0) as packed:
        yield cast("BinaryIO", packed)
