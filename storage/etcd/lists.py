"""Lists: pages of keys in order, read in chunks whose size follows that of the values.

The size of a value, its type and its expiry are kept with the value, so a list reads values
whether they are wanted or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rundlet_server.storage.etcd.cluster.client import FailedCall
from rundlet_server.storage.etcd.cluster.requests import span
from rundlet_server.storage.etcd.layout import Envelope, decode_envelope, entry_of
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import Found, Views
from rundlet_server.storage.interface import KeyInfo, Limits, Page
from rundlet_server.storage.large_values import Admit
from rundlet_server.storage.metadata import NO_METADATA, metadata_bytes
from rundlet_server.storage.ranges import Range, line_prefix
from rundlet_server.storage.timeline import At, Moment

_CHUNK_MAX: Final = 1_001
"""A page of 1,000 keys, and the one that shows that there are more, come in one call."""
_CHUNK_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``Store.scan`` was asked for; ``mark`` is the delimiter as UTF-8."""

    range: Range
    limit: int
    delimiter: str | None
    mark: bytes | None
    include_values: bool
    include_metadata: bool
    at: At | None
    admit: Admit | None

    @property
    def has_cost(self) -> bool:
        """Whether a page holds more of a key than a line."""
        return self.include_values or self.include_metadata


@dataclass(slots=True)
class _Making:
    """A page that is being made; ``size`` in bytes, of what an answer shows."""

    keys: list[KeyInfo] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    size: int = 0
    last: str | None = None

    def __len__(self) -> int:
        return len(self.keys) + len(self.prefixes)


class Lists:
    """Lists of one store. Any thread may use it."""

    def __init__(self, views: Views, limits: Limits) -> None:
        self._views = views
        self._limits = limits
        self._mean_bytes = 1_024.0  # of the values read lately

    def page(self, wanted: Wanted) -> Page:
        """See ``Store.scan``."""
        making = _Making()
        mark = wanted.mark
        rest: Range | None = wanted.range
        at = wanted.at
        moment: Moment | None = None
        resume: str | None = None
        while rest is not None and resume is None:
            found, kvs, has_more = self._chunk(rest, at, wanted.limit - len(making) + 1)
            at = moment = found.moment
            rest = self._behind(rest, kvs[-1].key, None) if has_more else None
            for key, kv, envelope in self._live(kvs, found):
                prefix = line_prefix(key, wanted.range.prefix, mark)
                if prefix is not None and making.prefixes[-1:] == [prefix.decode()]:
                    continue
                if not self._add(making, wanted, prefix, (key, kv, envelope)):
                    resume = making.last
                    break
            if rest is not None and making.prefixes and making.last == making.prefixes[-1]:
                # All keys under the prefix are one line: continue behind them, unread.
                rest = rest.resumed(making.last, wanted.delimiter)
        moment = moment or self._views.read(at, lambda _: []).moment
        if wanted.admit is not None and wanted.has_cost:
            wanted.admit(making.size)
        return Page(moment, making.keys, making.prefixes, resume)

    def _chunk(
        self, wanted: Range, at: At | None, limit: int
    ) -> tuple[Found, list[pb.KeyValue], bool]:
        """Read the first keys of a range."""
        data = self._views.layout.data
        count = max(min(limit, _CHUNK_MAX, round(_CHUNK_BYTES / self._mean_bytes)), 2)
        low, high = data + wanted.low, data + max(wanted.low, wanted.high)
        while True:

            def ranges(revision: int, count: int = count) -> list[pb.RangeRequest]:
                request = span(low, high, revision=revision, limit=count)
                if wanted.reverse:
                    request.sort_order = pb.RangeRequest.DESCEND
                return [request] if low < high else []

            try:
                found = self._views.read(at, ranges)
            except FailedCall as ex:
                if ex.failure != "too large" or count == 1:
                    raise
                count = count // 2
                continue
            if not found.answers or not found.answers[0].kvs:
                return found, [], False
            kvs = list(found.answers[0].kvs)
            mean = sum(len(kv.value) for kv in kvs) / len(kvs)
            self._mean_bytes = max((self._mean_bytes + mean) / 2, mean, 64.0)
            return found, kvs, found.answers[0].more

    def _live(
        self, kvs: list[pb.KeyValue], found: Found
    ) -> Iterator[tuple[bytes, pb.KeyValue, Envelope]]:
        start = len(self._views.layout.data)
        for kv in kvs:
            envelope = decode_envelope(kv)
            key = kv.key[start:]
            if not envelope.is_lapsed(found.moment.time_us) and key not in found.hidden:
                yield key, kv, envelope

    def _behind(self, wanted: Range, key: bytes, delimiter: str | None) -> Range:
        return wanted.resumed(key[len(self._views.layout.data) :].decode(), delimiter)

    def _add(
        self,
        making: _Making,
        wanted: Wanted,
        prefix: bytes | None,
        found: tuple[bytes, pb.KeyValue, Envelope],
    ) -> bool:
        """Add a line if there is room for it."""
        key, kv, envelope = found
        size = making.size + len(prefix or key)
        if prefix is None:
            size += len(envelope.value) if wanted.include_values else 0
            size += metadata_bytes(envelope.metadata) if wanted.has_cost else 0
        if len(making) == wanted.limit or (size > self._limits.answer_bytes_max and len(making)):
            return False
        making.size = size
        making.last = (prefix or key).decode()
        if prefix is not None:
            making.prefixes.append(making.last)
            return True
        entry = entry_of(making.last, kv, self._views.base, envelope)
        making.keys.append(
            KeyInfo(
                entry.key,
                entry.revision,
                entry.version,
                len(entry.value),
                entry.content_type,
                entry if wanted.include_values else None,
                entry.time_us,
                entry.expires_us,
                entry.metadata if wanted.include_metadata else NO_METADATA,
            )
        )
        return True
