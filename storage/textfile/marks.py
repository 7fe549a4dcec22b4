r"""Marks of the text files that were loaded into a store's folder.

Each content has a file of its own, so that two processes cannot lose each other's mark:
``LOADED-`` and the first 32 digits of its SHA-256, which holds

      "rundlet loaded 1\n" | SHA-256 in hexadecimal, 64 | " " | good lines, decimal | "\n"

The mark is data of the folder like the log itself: it moves and is copied with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files, read_whole, replace_file

_MAGIC: Final = b"rundlet loaded "
_VERSION: Final = b"1"


class LoadMarks:
    """The marks in one folder."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def rows_loaded(self, digest: bytes) -> int | None:
        """Return how many lines were good when this content was loaded; ``None`` if it never was.

        With ``any_key`` or higher limits, more lines may be good now.

        Raises:
            UnknownFormat: another release wrote the mark.
            Damaged: the mark is not what was written.
        """
        path = self._path(digest)
        try:
            content = read_whole(self._files, path)
        except FileNotFoundError:
            return None
        first, _, rest = content.partition(b"\n")
        if first != _MAGIC + _VERSION:
            raise UnknownFormat(f"{path}: this release does not know a mark like {first[:40]!r}")
        found, _, rows = rest.removesuffix(b"\n").partition(b" ")
        if found != digest.hex().encode() or not rows.isdigit():
            raise Damaged(path, len(first) + 1, "this is not a mark of this content; remove it")
        return int(rows)

    def add(self, digest: bytes, rows: int) -> None:
        """Mark a content as loaded; durable on return."""
        content = b"%s%s\n%s %d\n" % (_MAGIC, _VERSION, digest.hex().encode(), rows)
        replace_file(self._files, self._path(digest), content)

    def _path(self, digest: bytes) -> Path:
        return self._folder / f"LOADED-{digest.hex()[:32]}"
