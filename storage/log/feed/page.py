"""A page of the feed, filled from frames until it is full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rundlet_server.storage.checksum import CHECKSUM_SIZE
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import BadFrame, Frame
from rundlet_server.storage.log.format.record import KIND_NAMES, TOMBSTONES, BadRecord
from rundlet_server.storage.timeline import Event

_HEADER_SIZE: Final = records.HEADER.size


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

        What was erased since is not on it, see ``View.erased``.
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
        place = 0
        for _ in range(frame.record_count):
            header = _header_at(body, place)
            revision = header[7]
            if revision > self._revision:
                self.end_commit()
                if revision > self._last:
                    self.reached, self.is_full = self._last, True
                if self.is_full:
                    return
                self._revision = revision
            end = place + records.OVERHEAD + header[0] + header[1] + header[2]
            if end > len(body):
                raise BadFrame("the records do not fit into the frame")
            if revision > self.reached:
                self._add_record(header, body[place:end])
                if self.is_full:
                    return
            place = end

    def end_commit(self) -> None:
        """Close the commit whose records were added last."""
        self.reached = self._revision
        if len(self.events) > self._first:
            self.events[-1] = self.events[-1]._replace(is_last=True)
            self._first = len(self.events)
            self.is_full = self._first >= self._limit

    def _add_record(self, header: tuple[int, ...], record: memoryview) -> None:
        value_size, key_size, meta_size, version, kind, code, _, revision, time_us = header
        key_end = _HEADER_SIZE + key_size
        key = bytes(record[_HEADER_SIZE:key_end])
        if not key.startswith(self._prefix) or revision < self._erased.get(key, 0):
            return
        try:
            content_type, expires_us = records.decode_meta(code, record[key_end:][:meta_size])
            name = KIND_NAMES[kind]
        except (BadRecord, KeyError) as ex:
            raise BadFrame(f"a record cannot be decoded: {ex}") from ex
        size = key_size
        value = None
        is_omitted = False
        if self._include_values and kind not in TOMBSTONES:
            is_omitted = size + value_size > self._bytes_left
            if not is_omitted:
                size += value_size
                value = bytes(record[key_end + meta_size : -CHECKSUM_SIZE])
        is_too_much = is_omitted or size > self._bytes_left or len(self.events) >= self._limit
        if is_too_much and self._first:
            del self.events[self._first :]
            self.is_full = True
            return
        self._bytes_left -= size
        self.events.append(
            Event(
                revision,
                time_us,
                name,
                key.decode(),
                version,
                value_size,
                content_type,
                expires_us or None,
                False,
                value,
                is_omitted,
            )
        )


def _header_at(body: memoryview, place: int) -> tuple[int, ...]:
    if place + records.OVERHEAD > len(body):
        raise BadFrame("the records do not fit into the frame")
    return records.HEADER.unpack_from(body, place)
