"""A page of the feed, filled from frames until it is full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rundlet_server.storage.checksum import CHECKSUM_SIZE
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import BadFrame, Frame
from rundlet_server.storage.log.format.record import (
    KIND_NAMES,
    OUTCOME,
    TOMBSTONES,
    WELL_KNOWN_TYPES,
    BadRecord,
)
from rundlet_server.storage.metadata import NO_METADATA, Metadata
from rundlet_server.storage.timeline import Event

_HEADER_SIZE: Final = records.HEADER.size
_TYPE_COUNT: Final = len(WELL_KNOWN_TYPES)
_TOO_LONG: Final = "the records do not fit into the frame"


class Page:
    """Collects the events of whole commits.

    A commit is complete when a record of the next one comes, or when ``end_commit`` says so: after
    compaction a frame holds several commits.

    Attributes:
        events: of complete commits, and of the one that is being read.
        reached: every commit up to this revision is complete.
        is_full: nothing more can be added; events of a commit that did not fit were removed.
    """

    def __init__(
        self,
        since: int,
        last: int,
        *,
        prefix: str,
        limit: int,
        include_values: bool,
        bytes_max: int,
        erased: Mapping[bytes, int],
    ) -> None:
        """Begin a page of the events with revisions above ``since``, up to ``last``.

        The page leaves out versions that were erased since, see ``View.erased``.
        """
        self.events: list[Event] = []
        self.reached = since
        self.is_full = False
        self._last = last
        self._prefix = prefix.encode()
        self._limit = limit
        self._include_values = include_values
        self._bytes_left = bytes_max
        self._erased = erased
        self._revision = since
        self._first = 0

    def add(self, frame: Frame) -> None:
        """Add the records of the next frame.

        Raises:
            BadFrame: it does not hold whole records.
        """
        body = frame.body
        unpack = records.HEADER.unpack_from
        last_place = len(body) - records.OVERHEAD
        place = 0
        for _ in range(frame.record_count):
            if place > last_place:
                raise BadFrame(_TOO_LONG)
            header = unpack(body, place)
            end = place + records.OVERHEAD + header[0] + header[1] + header[2]
            if end > len(body):
                raise BadFrame(_TOO_LONG)
            if header[7] > self._revision:
                self._begin_commit(header[7])
            if self.is_full:
                return
            if header[7] > self.reached:
                self._add_record(header, body[place:end])
            place = end

    def end_commit(self) -> None:
        """Close the commit whose records were added last."""
        self.reached = self._revision
        if len(self.events) > self._first:
            event = self.events[-1]
            self.events[-1] = Event(*event[:8], True, *event[9:])  # faster than ``_replace``
            self._first = len(self.events)
            self.is_full = self._first >= self._limit

    def _begin_commit(self, revision: int) -> None:
        if self.is_full:  # the commit before this one did not fit
            return
        self.end_commit()
        if revision > self._last:
            self.reached, self.is_full = self._last, True
        self._revision = revision

    def _add_record(self, header: tuple[int, ...], record: memoryview) -> None:
        value_size, key_size, meta_size, version, kind, code, _, revision, time_us = header
        if kind == OUTCOME:
            return
        meta_start = _HEADER_SIZE + key_size
        key = bytes(record[_HEADER_SIZE:meta_start])
        if not key.startswith(self._prefix) or revision < self._erased.get(key, 0):
            return
        value = None
        is_omitted = False
        size = key_size + meta_size
        if self._include_values and kind not in TOMBSTONES:
            size += value_size
            if size <= self._bytes_left:
                value = bytes(record[meta_start + meta_size : -CHECKSUM_SIZE])
            else:
                size, is_omitted = key_size + meta_size, True
        is_too_much = is_omitted or size > self._bytes_left or len(self.events) >= self._limit
        if is_too_much and self._first:
            del self.events[self._first :]
            self.is_full = True
            return
        self._bytes_left -= size
        if meta_size or code >= _TYPE_COUNT:
            meta = record[meta_start : meta_start + meta_size]
            content_type, expires_us, metadata = _meta(code, meta)
        else:
            content_type, expires_us, metadata = WELL_KNOWN_TYPES[code], None, NO_METADATA
        name = KIND_NAMES.get(kind)
        if name is None:
            raise BadFrame(f"unknown kind {kind} of a record")
        self.events.append(
            Event(
                revision,
                time_us,
                name,
                key.decode(),
                version,
                value_size,
                content_type,
                expires_us,
                False,
                value,
                is_omitted,
                metadata,
            )
        )


def _meta(code: int, meta: memoryview) -> tuple[str, int | None, Metadata]:
    """Return content type, expiry and metadata of a record that has a meta map."""
    try:
        content_type, expires_us, metadata = records.decode_meta(code, meta)
    except BadRecord as ex:
        raise BadFrame(f"a record cannot be decoded: {ex}") from ex
    return content_type, expires_us or None, metadata
