"""A read-only store over a text file, which is served as it is.

Everything in it has revision 1 and version 1, and is as old as the file. Values are read from the
file and verified: if the file is changed while it is served, reads give errors, never other values.
If the changed file is opened again, it is another store, with another id.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rundlet_server.storage.backups import Backups
from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import Damaged, NotSupported, ReadOnly
from rundlet_server.storage.files import Files, RealFiles
from rundlet_server.storage.interface import (
    Entry,
    Feature,
    KeyInfo,
    Limits,
    Page,
    Row,
    Snapshot,
    Stats,
    StoreInfo,
    Txn,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.pieces import Pieces, Place
from rundlet_server.storage.log.read.page_cache import read_cached
from rundlet_server.storage.log.read.scan import Cost, list_page
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.ranges import Range
from rundlet_server.storage.reports import Gauge, Health
from rundlet_server.storage.requests import check_answer, encode_key, require_past, require_reached
from rundlet_server.storage.textfile.index import REVISION, place_of
from rundlet_server.storage.textfile.index_place import IndexedFile, index_places
from rundlet_server.storage.timeline import At, Changes, Erased, History, Moment, Retention, Version

_VERSION = 1


class TextFileStore:
    """A text file behind the ``Store`` interface. All processes share one index of it."""

    def __init__(self, indexed: IndexedFile) -> None:
        """Open the file.

        Raises:
            BadFile, Unavailable, OSError: see ``IndexedFile.open``.
        """
        self._path = indexed.path
        self._limits = indexed.limits
        self._file, self._source, self._index = indexed.open()
        self._time_us = self._source.mtime_ns // 1_000
        self.info = StoreInfo(
            "file",
            self._index.store_id,
            True,
            indexed.limits,
            features=frozenset[Feature]({"history"}),  # all of the one revision that there is
        )

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.get``."""
        moment = self._moment(at)
        encoded = encode_key(key, self._limits)
        locator = self._index.find(encoded, moment.revision)
        return None if locator is None else self._entry(key, encoded, locator)

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """See ``Store.peek``."""
        moment = self._moment(at)
        encoded = encode_key(key, self._limits)
        locator = self._index.find(encoded, moment.revision)
        if locator is None:
            return None
        if locator.value_size <= LARGE_VALUE_BYTES:
            return self._entry(key, encoded, locator)
        return self._large_value(key, encoded, locator)

    def peek_cached(self, key: str) -> Entry | None:
        """Do as ``peek`` does, but never wait for a disk to read a line.

        Raises:
            BlockingIOError: the read might have to wait, or the value is large.
        """
        encoded = encode_key(key, self._limits)
        locator = self._index.find(encoded, REVISION)
        if locator is None:
            return None
        if locator.value_size > LARGE_VALUE_BYTES:
            raise BlockingIOError
        place = place_of(encoded, locator)
        line = read_cached(self._file, place.size, place.offset)
        return self._entry_of(key, encoded, locator, line)

    def get_version(self, key: str, version: int) -> Entry | LargeValue | None:
        """See ``Store.get_version``."""
        found = self.peek(key)
        return found if version == _VERSION else None

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """See ``Store.get_many``."""
        moment = self._moment(at)
        encoded = [encode_key(key, self._limits) for key in keys]
        named = dict(zip(encoded, keys, strict=True))
        locators = {key: self._index.find(key, moment.revision) for key in named}
        sizes = {
            key: len(key) + (locator.value_size if locator else 0)
            for key, locator in locators.items()
        }
        check_answer([sizes[key] for key in encoded], self._limits, admit)
        entries = {
            key: self._entry(named[key], key, locator) if locator else None
            for key, locator in locators.items()
        }
        return Snapshot(moment, [entries[key] for key in encoded])

    def commit(self, txn: Txn) -> Commit:  # noqa: ARG002 # as the interface has it
        """See ``Store.commit``."""
        raise ReadOnly(f"{self._path} is served as it is; load it into a store to write")

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        after: str | None = None,
        limit: int = 1_000,
        reverse: bool = False,
        delimiter: str | None = None,
        include_values: bool = False,
        include_metadata: bool = False,  # noqa: ARG002 # a line has none
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """See ``Store.scan``."""
        moment = self._moment(at)
        wanted = Range.of(prefix, start, end, reverse=reverse).resumed(after, delimiter)
        found = list_page(
            self._index,
            wanted,
            limit=limit,
            delimiter=delimiter,
            at=moment.revision,
            is_live=_is_live,
            cost=Cost(include_values, self._limits.answer_bytes_max),
        )
        if admit is not None and include_values:
            admit(found.size)
        keys = [self._key_info(key, locator, include_values) for key, locator in found.keys]
        return Page(moment, keys, found.prefixes, found.resume)

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        """See ``Store.count``; costs two binary searches."""
        if self._moment(at).revision < REVISION:
            return 0
        wanted = Range.of(prefix, start, end, reverse=False)
        return self._index.count(wanted.low, wanted.high)

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``; before the file was changed last, there was nothing."""
        require_past(time_us, system_clock_us())
        return Moment(REVISION if time_us >= self._time_us else 0, time_us)

    def retention(self) -> Retention:
        """See ``Store.retention``: all of the one version that there is."""
        return Retention()

    def retain(self, retention: Retention) -> None:  # noqa: ARG002 # as the interface has it
        """See ``Store.retain``."""
        raise ReadOnly(f"{self._path} is served as it is; it has no history to keep")

    def hold(self, revision: int) -> AbstractContextManager[None]:
        """See ``Store.hold``: nothing is ever dropped."""
        self._moment(revision)
        return contextlib.nullcontext()

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """See ``Store.history``."""
        locator = self._index.find(encode_key(key, self._limits), None)
        versions = []
        if locator is not None and limit > 0 and (before is None or before > REVISION):
            size, content_type = locator.value_size, locator.content_type
            versions.append(Version(REVISION, _VERSION, "put", self._time_us, size, content_type))
        return History(REVISION, 0, versions, None)

    def expired(self, after_us: int, at: Moment) -> list[str]:  # noqa: ARG002 # as the interface has it
        """See ``Store.expired``: nothing does."""
        return []

    def changes(
        self,
        since: int,  # noqa: ARG002 # as the interface has it
        *,
        prefix: str = "",  # noqa: ARG002
        limit: int = 1_000,  # noqa: ARG002
        include_values: bool = False,  # noqa: ARG002
        until: int | None = None,  # noqa: ARG002
    ) -> Changes:
        """See ``Store.changes``: all of the file would be one commit, too large for a page."""
        raise NotSupported(self.info.backend, "changes")

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:  # noqa: ARG002 # as the interface has it
        """See ``Store.erase``."""
        raise ReadOnly(f"{self._path} is served as it is; nothing can be erased from it")

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``: nothing is ever written."""
        if since >= REVISION:
            time.sleep(timeout_s)
        return REVISION

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        return Stats(REVISION, 0, self._index.key_count, self._index.about["value_bytes"])

    @property
    def backups(self) -> Backups:
        """See ``Store.backups``: a copy of the file is its backup."""
        raise NotSupported(self.info.backend, "backup")

    def gauges(self) -> Mapping[str, Gauge]:
        """See ``Store.gauges``."""
        about = self._index.about
        return {
            "file_bytes": Gauge(self._source.size, "Size of the file."),
            "duplicate_lines": Gauge(
                about["duplicates"], "Lines whose key came again in a later line, which won."
            ),
            "bad_lines": Gauge(about["bad"], "Bad lines, which were left out."),
        }

    def compact(self, *, wait: bool = False) -> None:  # noqa: ARG002 # as the interface has it
        """See ``Store.compact``."""
        raise ReadOnly(f"{self._path} is served as it is; there is nothing to compact")

    def load(self, rows: Sequence[Row]) -> None:  # noqa: ARG002 # as the interface has it
        """See ``Store.load``."""
        raise ReadOnly(f"{self._path} is served as it is; nothing can be loaded into it")

    def finish_load(self) -> None:
        """See ``Store.finish_load``."""

    def sync(self) -> None:
        """See ``Store.sync``: nothing is ever written."""

    def health(self) -> Health:
        """See ``Store.health``: values at the end of the file may have gone."""
        if self._file.size() < self._source.size:
            reason = f"{self._path} is shorter than when it was opened; start again to serve it"
            return Health([reason])
        return Health([])

    def close(self) -> None:
        """See ``Store.close``."""
        self._file.close()

    def _moment(self, at: At | None) -> Moment:
        """Return the moment at which a read looks; nothing ever expires."""
        if at is None:
            return Moment(REVISION, self._time_us)
        moment = at if isinstance(at, Moment) else Moment(at, self._time_us if at else 0)
        require_reached(moment.revision, REVISION)
        return moment

    def _entry(self, key: str, encoded: bytes, locator: Locator) -> Entry:
        """Read a line; raises what ``_entry_of`` raises."""
        place = place_of(encoded, locator)
        line = self._file.pread(place.size, place.offset)
        return self._entry_of(key, encoded, locator, line)

    def _entry_of(self, key: str, encoded: bytes, locator: Locator, line: bytes) -> Entry:
        """Return the value of a line that was read, verified.

        Raises:
            Damaged: the line has changed since the index was made.
        """
        place = place_of(encoded, locator)
        if len(line) != place.size or checksum(line) != place.checksum:
            reason = "the line has changed since the file was opened; start again to serve the file"
            raise Damaged(self._path, place.offset, reason)
        value = line[len(encoded) + 1 :]
        return Entry(key, value, REVISION, _VERSION, self._time_us, locator.content_type, None)

    def _large_value(self, key: str, encoded: bytes, locator: Locator) -> LargeValue:
        """Return a value without its bytes; ``Pieces.verify`` verifies its line."""
        line = place_of(encoded, locator)
        size = locator.value_size
        place = Place(
            *(self._file, self._path, line.offset + len(encoded) + 1, size),
            before=checksum(self._file.pread(len(encoded) + 1, line.offset)),
            size_behind=0,
            whole=line.checksum,
        )
        about = (REVISION, _VERSION, self._time_us, locator.content_type)
        return LargeValue(key, Pieces(place), size, *about, None)

    def _key_info(self, encoded: bytes, locator: Locator, include_values: bool) -> KeyInfo:
        key = encoded.decode()
        entry = self._entry(key, encoded, locator) if include_values else None
        about = (REVISION, _VERSION, locator.value_size, locator.content_type)
        return KeyInfo(key, *about, entry, self._time_us)


def open_text_file(
    path: Path,
    *,
    any_key: bool = False,
    skip_bad: bool = False,
    limits: Limits | None = None,
    cache_folder: Path | None = None,
    files: Files | None = None,
) -> TextFileStore:
    """Serve a text file read-only.

    Its index is kept beside it as ``NAME.rundlet-index``, or in the user's cache folder. The first
    time takes about two seconds per million lines, later times 0.03.

    Args:
        path: the file.
        any_key: keys need not be UUIDs.
        skip_bad: leave out bad lines instead of refusing the file.
        limits: of keys and values; a longer one makes a bad line.
        cache_folder: instead of the user's.
        files: the file system.

    Raises:
        BadFile: lines are bad, and are not to be skipped.
        Unavailable: the file is being changed.
        OSError: the file cannot be read.
    """
    places = index_places(path, cache_folder)
    return TextFileStore(
        IndexedFile(files or RealFiles(), path, any_key, skip_bad, limits or Limits(), places)
    )


def _is_live(_: Locator) -> bool:
    """Return true: every line is a value."""
    return True
