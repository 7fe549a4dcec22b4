"""The manifest: which segments and index files make up the store, in order.

The file ``MANIFEST`` holds one whole state, and every change replaces it atomically (temporary
file, sync, rename, sync of the folder): it holds the old or the new state, never a part of one,
so a manifest that cannot be read is damaged, not torn.

    "RNDLTMAN" | format u32 | size of the CBOR map u32 | CBOR map | CRC32C

The format of a store that ``needs`` nothing is 2, so that earlier releases can open it. Otherwise
it is 3, and the map says what a release must know to read the store.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import cbor2

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole, seal
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files, read_whole, replace_file
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.names import index_name, segment_name, times_name
from rundlet_server.storage.timeline import Retention

FILE_NAME: Final = "MANIFEST"
MAGIC: Final = b"RNDLTMAN"
FORMAT_VERSION: Final = 3
_WITHOUT_NEEDS: Final = 2
_OLD_FORMAT: Final = 1
"""Only read, never written. It has no retention, which was a setting of the server."""
_OLD_RETENTION: Final = Retention(keep_versions=1, keep_for_s=3_600.0)
"""The default retention of servers with the old format."""
METADATA: Final = "metadata"
"""Records may have user metadata, see ``record``."""
OUTCOMES: Final = "outcomes"
"""Commits may have outcomes, see ``record``."""
KNOWN_NEEDS: Final = frozenset({METADATA, OUTCOMES})
"""The needs that this release knows."""
FILE_IS_MISSING: Final = "the manifest names this file and it is missing"
"""The reason of ``Damaged`` for a file that is missing."""
SEGMENT_IS_UNKNOWN: Final = "the manifest does not name the segment that was published last"
"""The reason of ``Damaged`` for a manifest that is older than the commit page."""

_HEADER: Final = struct.Struct("<8sII")


@dataclass(frozen=True, slots=True)
class SegmentState:
    """A segment as the manifest knows it.

    Attributes:
        number: names the file.
        size: bytes up to its last frame; 0 while active (the commit page knows).
        record_count: records in it; 0 while active.
        last_revision, last_time_us, totals: as of its last frame; while active, as of
            the last frame of the segment before.
        is_indexed: an index file holds all its records.
    """

    number: int
    size: int
    record_count: int
    last_revision: int
    last_time_us: int
    totals: Totals
    is_indexed: bool


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index file as the manifest knows it."""

    number: int
    size: int
    row_count: int


class Oldest(NamedTuple):
    """The oldest state that can be read: its revision, and the time of its newest commit."""

    revision: int
    time_us: int


_NEW_RETENTION: Final = Retention()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole state.

    Attributes:
        generation: rises with every change.
        store_id: 16 random bytes; new after a restore or a repair.
        next_segment, next_index: numbers for the next files; a number is never used again.
        oldest_revision: the oldest revision that can still be read.
        revision_floor: the next commit's revision is above this.
        is_lax: a writer has run with a policy under which a power cut may lose commits.
        segments: in log order; the last one is active.
        indexes: newest first.
        oldest_time_us: of the newest commit at or below the oldest revision; 0 if it is not known.
        retention: which history compaction must keep.
        erased: by key, the revision of the last erasure, while older versions may still be in
            segments that have an index file; deltas hold the erasures of the other segments.
        gaps: pairs of revisions that a restore has left: revisions above the first and up to the
            second may have been other commits of the store that was backed up, and are never used
            again.
        needs: what a release must know to read the files; from ``KNOWN_NEEDS``.
    """

    generation: int
    store_id: bytes
    next_segment: int
    next_index: int
    oldest_revision: int
    revision_floor: int
    is_lax: bool
    segments: tuple[SegmentState, ...]
    indexes: tuple[IndexState, ...]
    oldest_time_us: int = 0
    retention: Retention = _NEW_RETENTION
    erased: Mapping[bytes, int] = field(default_factory=dict)
    gaps: tuple[tuple[int, int], ...] = ()
    needs: frozenset[str] = frozenset()

    @property
    def oldest(self) -> Oldest:
        """The oldest state that can still be read."""
        return Oldest(self.oldest_revision, self.oldest_time_us)

    @property
    def active(self) -> SegmentState:
        """The segment that commits are appended to."""
        return self.segments[-1]

    @property
    def sealed_bytes(self) -> int:
        """The size of all sealed segments together."""
        return sum(segment.size for segment in self.segments)

    @property
    def index_bytes(self) -> int:
        """The size of all index files together."""
        return sum(index.size for index in self.indexes)

    @property
    def file_names(self) -> set[str]:
        """The names of all segments and index files, and of the times files that may be there."""
        segments = {segment_name(segment.number) for segment in self.segments}
        times = {times_name(segment.number) for segment in self.segments if segment.is_indexed}
        return segments | times | {index_name(index.number) for index in self.indexes}

    def restored_below(self, revision: int) -> int | None:
        """Return the last revision before a gap that a restore left, if this one is in the gap."""
        befores = (after for after, through in self.gaps if after < revision <= through)
        return next(befores, None)

    def changed(
        self,
        *,
        next_segment: int | None = None,
        next_index: int | None = None,
        oldest: Oldest | None = None,
        retention: Retention | None = None,
        segments: tuple[SegmentState, ...] | None = None,
        indexes: tuple[IndexState, ...] | None = None,
        erased: Mapping[bytes, int] | None = None,
    ) -> Manifest:
        """Return the next generation, with the given members in place of the present ones."""
        oldest = oldest or self.oldest
        return dataclasses.replace(
            self,
            generation=self.generation + 1,
            next_segment=self.next_segment if next_segment is None else next_segment,
            next_index=self.next_index if next_index is None else next_index,
            oldest_revision=oldest.revision,
            oldest_time_us=oldest.time_us,
            retention=retention or self.retention,
            segments=self.segments if segments is None else segments,
            indexes=self.indexes if indexes is None else indexes,
            erased=self.erased if erased is None else erased,
        )


def write_manifest(files: Files, folder: Path, manifest: Manifest) -> None:
    """Replace the state on disk, durably."""
    replace_file(files, folder / FILE_NAME, encode_manifest(manifest))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the content of the manifest file for a state."""
    state: dict[str, object] = {
        "generation": manifest.generation,
        "store_id": manifest.store_id,
        "next_segment": manifest.next_segment,
        "next_index": manifest.next_index,
        "oldest_revision": manifest.oldest_revision,
        "oldest_time_us": manifest.oldest_time_us,
        "keep_versions": manifest.retention.keep_versions,
        "keep_for_s": manifest.retention.keep_for_s,
        "revision_floor": manifest.revision_floor,
        "is_lax": manifest.is_lax,
        "erased": dict(manifest.erased),
        "segments": [dataclasses.astuple(segment) for segment in manifest.segments],
        "indexes": [dataclasses.astuple(index) for index in manifest.indexes],
        "gaps": manifest.gaps,
    }
    if manifest.needs:
        state["needs"] = sorted(manifest.needs)
    payload = cbor2.dumps(state)
    version = FORMAT_VERSION if manifest.needs else _WITHOUT_NEEDS
    header = _HEADER.pack(MAGIC, version, len(payload))
    return seal(header + payload)


def read_manifest(files: Files, folder: Path) -> Manifest:
    """Return the state on disk.

    Raises:
        FileNotFoundError: there is no store in this folder.
        UnknownFormat: the manifest has another format version.
        Damaged: the manifest is not what was written.
    """
    path = folder / FILE_NAME
    return decode_manifest(read_whole(files, path), path)


def decode_manifest(data: bytes, path: Path) -> Manifest:
    """Return the state in the content of a manifest file; ``path`` is for errors.

    Raises:
        UnknownFormat, Damaged: see ``read_manifest``.
    """
    if len(data) < _HEADER.size + CHECKSUM_SIZE or not is_whole(data):
        raise Damaged(path, 0, "the checksum of the manifest does not match")
    magic, version, size = _HEADER.unpack_from(data)
    if magic != MAGIC or not _OLD_FORMAT <= version <= FORMAT_VERSION:
        raise UnknownFormat(
            f"{path}: this release does not know manifest format {magic!r} {version}"
        )
    try:
        manifest = _decode(data[_HEADER.size : _HEADER.size + size], version)
    except (cbor2.CBORDecodeError, LookupError, TypeError, ValueError) as ex:
        raise Damaged(path, _HEADER.size, f"the manifest cannot be decoded: {ex}") from ex
    unknown = manifest.needs - KNOWN_NEEDS
    if unknown:
        raise UnknownFormat(
            f"{path}: this release does not know {', '.join(sorted(unknown))}, which the store has"
        )
    return manifest


def _decode(payload: bytes, version: int) -> Manifest:
    state = cbor2.loads(payload)
    is_old = version == _OLD_FORMAT
    segments = tuple(
        SegmentState(number, size, records, revision, time_us, Totals(*totals), bool(is_indexed))
        for number, size, records, revision, time_us, totals, is_indexed in state["segments"]
    )
    if not segments:
        raise ValueError("it names no segment")
    return Manifest(
        int(state["generation"]),
        bytes(state["store_id"]),
        int(state["next_segment"]),
        int(state["next_index"]),
        int(state["oldest_revision"]),
        int(state["revision_floor"]),
        bool(state["is_lax"]),
        segments,
        tuple(IndexState(*values) for values in state["indexes"]),
        0 if is_old else int(state["oldest_time_us"]),
        _OLD_RETENTION
        if is_old
        else Retention(int(state["keep_versions"]), float(state["keep_for_s"])),
        {bytes(key): int(revision) for key, revision in state.get("erased", {}).items()},
        tuple((after, through) for after, through in state.get("gaps", ())),
        frozenset(map(str, state.get("needs", ()))),
    )
