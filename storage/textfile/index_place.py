"""The place of a text file's index, and how processes share it.

It is beside the file or, if that folder is not writable, in the user's cache folder:

1. use an index that was made of the file as it is now, by the same rules;
2. otherwise take the lock of the text file, and look again: another process may have made it;
3. make it once the text file has not been written to for a moment, and check that the file is
   still the same;
4. write it to a temporary file and rename that into place: a crash leaves the old index or the
   new one.

If no place is writable, each process keeps its own index, in a file without a name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, Unavailable, UnknownFormat
from rundlet_server.storage.files import File, Files
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.textfile.index import NewIndex, TextIndex, TextSource

SUFFIX: Final = ".rundlet-index"
_TEMPORARY: Final = ".tmp"
_TICK_S: Final = 0.05
"""Two changes of a file that are further apart have different times (Linux: up to 0.01 s)."""


def index_places(path: Path, cache_folder: Path | None = None) -> tuple[Path, Path]:
    """Return where the index of a text file may be, the better place first.

    Args:
        path: of the text file.
        cache_folder: instead of the user's (``$XDG_CACHE_HOME`` or ``~/.cache``).
    """
    whole = path.resolve()
    if cache_folder is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        cache_folder = Path(home) / "rundlet"
    name = hashlib.blake2b(os.fsencode(whole), digest_size=16).hexdigest()
    return whole.with_name(whole.name + SUFFIX), cache_folder / (name + SUFFIX)


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A text file to be opened with its index.

    Attributes:
        limits: a line with a longer key or value is bad.
        places: for the index, the best first.
    """

    files: Files
    path: Path
    any_key: bool
    skip_bad: bool
    limits: Limits
    places: Sequence[Path]

    def open(self) -> tuple[File, TextSource, TextIndex]:
        """Return the open file, its source, and its index, made if there is none.

        Raises:
            BadFile: lines are bad, and are not to be skipped.
            Unavailable: the file is being changed.
            OSError: the file cannot be read.
        """
        before = self._source()
        file = self.files.open(self.path, writable=False)
        try:
            if self._source() != before:
                raise self._changing()
            return file, before, self._find(before) or self._make_in_turn(file, before)
        except BaseException:
            file.close()
            raise

    def _source(self) -> TextSource:
        return TextSource.of(
            self.path, any_key=self.any_key, skip_bad=self.skip_bad, limits=self.limits
        )

    def _find(self, source: TextSource) -> TextIndex | None:
        """Return an index that fits; ignore damaged ones."""
        for place in self.places:
            with contextlib.suppress(OSError, Damaged, UnknownFormat):
                index = TextIndex(self.files, place)
                if index.is_of(source):
                    return index
        return None

    def _make_in_turn(self, file: File, source: TextSource) -> TextIndex:
        # Not the open file itself: a forked child closes locked files, and may go on reading this
        # one.
        lock = self.files.open(self.path, writable=False)
        try:
            with _turn(lock):
                return self._find(source) or self._make(file, source)
        finally:
            lock.close()

    def _make(self, file: File, source: TextSource) -> TextIndex:
        _let_tick_pass(source)
        index = NewIndex.read(file, self.path, source)
        if self._source() != source:
            raise self._changing()
        for place in self.places:
            with contextlib.suppress(OSError):
                self.files.make_folder(place.parent)
                self._remove_orphans(place)
                return self._write(index, place)
        with tempfile.TemporaryDirectory(prefix="rundlet-") as folder:
            # A mapped file stays when its name is removed.
            return self._write(index, Path(folder) / SUFFIX)

    def _write(self, index: NewIndex, place: Path) -> TextIndex:
        temporary = place.with_name(f"{place.name}.{os.getpid()}{_TEMPORARY}")
        try:
            index.write(self.files, temporary)
            self.files.rename(temporary, place)
        finally:
            self.files.unlink(temporary)
        return TextIndex(self.files, place)

    def _remove_orphans(self, place: Path) -> None:
        """Remove the files of processes that died while they made this index."""
        for name in self.files.names(place.parent):
            if name.startswith(place.name + ".") and name.endswith(_TEMPORARY):
                self.files.unlink(place.with_name(name))

    def _changing(self) -> Unavailable:
        return Unavailable(f"{self.path} is being changed; try again when it is complete")


def _let_tick_pass(source: TextSource) -> None:
    """Wait until any later change must give the file another time of modification.

    Otherwise a change that keeps the size could go unnoticed, and the index of the old lines would
    be used for the new ones.
    """
    if time.time_ns() - source.mtime_ns < _TICK_S * 1_000_000_000:
        time.sleep(_TICK_S)


@contextlib.contextmanager
def _turn(file: File) -> Iterator[None]:
    """Hold the lock of a file, so that one process makes its index and the others wait.

    Some network file systems refuse to lock a file that is open for reading only. Then two
    processes may do the same work at once, which only costs time.
    """
    with contextlib.suppress(OSError):
        file.lock()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlock()
