"""The past: versions of a key, and the moment at a time.

The state of a key at a revision is its value there, or its tombstone. Each names the revision at
which it was written, so a read at the revision before goes one step back.
"""

from __future__ import annotations

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.etcd.cluster.requests import one
from rundlet_server.storage.etcd.layout import Tombstone, decode_envelope, decode_tombstone
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.reads import Reads
from rundlet_server.storage.etcd.views import Views, first_of
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Entry, Limits
from rundlet_server.storage.requests import encode_key, require_past
from rundlet_server.storage.timeline import History, Moment, Version

_NEVER_EXPIRED = Moment(0, 0)
"""No value has expired by this time: a version shows what was written, however long ago."""


class Past:
    """The past of one store."""

    def __init__(self, views: Views, reads: Reads, limits: Limits) -> None:
        self._views = views
        self._reads = reads
        self._limits = limits

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``; takes a read for each halving of the revisions that are kept."""
        require_past(time_us, self._views.clock.now_us())
        summary, _ = self._views.summary()
        if summary.time_us <= time_us:
            return Moment(max(summary.revision - self._views.base, 0), time_us)
        low = self._views.oldest()
        summary_low = self._views.summary_at(low)
        if summary_low.time_us > time_us:
            raise Compacted(low - self._views.base, summary_low.time_us)
        high = summary.revision  # its time is later, that of ``low`` is not
        while high - low > 1:
            middle = (low + high) // 2
            found = self._views.summary_at(middle)
            if found.time_us <= time_us:
                low = middle
            else:
                high = found.revision  # nothing was committed between it and the middle
        newest = self._views.summary_at(low).revision
        return Moment(max(newest - self._views.base, 0), time_us)

    def history(self, key: str, limit: int, before: int | None) -> History:
        """See ``Store.history``."""
        encoded = encode_key(key, self._limits)
        _, head = self._views.summary()
        oldest = self._views.oldest()
        base = self._views.base
        first = max(oldest, self._views.erased_at(encoded))
        place = head if before is None else min(head, base + before - 1)
        versions: list[Version] = []
        while place >= first and len(versions) <= limit:
            try:
                kv, end = self._state(encoded, place)
            except Compacted:
                break
            version = self._version(kv, end)
            if version is None:
                break
            versions.append(version)
            place = base + version.revision - 1
        resume = versions[limit - 1].revision if 0 < limit < len(versions) else None
        return History(head - base, oldest - base, versions[:limit], resume)

    def get_version(self, key: str, version: int) -> Entry | None:
        """See ``Store.get_version``; halves the revisions that the newest life of the key spans."""
        encoded = encode_key(key, self._limits)
        _, head = self._views.summary()
        kv, end = self._state(encoded, head)
        if kv is None and end is not None:
            tombstone = decode_tombstone(end)
            if tombstone.kind == "erase":
                return None
            kv = self._value_at(encoded, tombstone.value_revision)
        if kv is None or not 1 <= version <= kv.version:
            return None
        found = self._version_of(encoded, kv, version)
        return self._reads.entry(key, found, _NEVER_EXPIRED)

    def count_values(self, key: bytes, since: int, place: int) -> int:
        """Return how many values of a key can be read from one revision of etcd's up to another.

        It takes two reads for each life of the key.
        """
        first = max(self._views.oldest(), since)
        count = 0
        try:
            while place >= first:
                kv, end = self._state(key, place)
                if kv is None:
                    if end is None:
                        break
                    place = end.mod_revision - 1
                    continue
                count += kv.version
                if kv.create_revision < first:
                    oldest = self._value_at(key, first)
                    return count - (oldest.version - 1 if oldest is not None else 0)
                place = kv.create_revision - 1
        except Compacted:  # meanwhile; what is gone need not be erased
            pass
        return count

    def get_at(self, key: str, revision: int) -> Entry | None:
        """Return the value that a key had at a revision of ours, as ``get`` does."""
        return self._reads.get(key, revision)

    def _version_of(self, key: bytes, newest: pb.KeyValue, version: int) -> pb.KeyValue:
        low, found = newest.create_revision, newest
        compacted: Compacted | None = None
        while found.version > version:
            if low >= found.mod_revision:
                raise compacted or self._views.compacted()
            middle = found.mod_revision - 1
            if found.version - version > 2:
                middle = (low + middle) // 2
            try:
                kv = self._value_at(key, middle)
            except Compacted as ex:
                compacted, low = ex, middle + 1
                continue
            if kv is not None and kv.version >= version:
                found = kv
            else:
                low = middle + 1
        return found

    def _value_at(self, key: bytes, revision: int) -> pb.KeyValue | None:
        request = one(self._views.layout.data + key, revision=revision)
        return first_of(self._views.read_at(revision, [request])[0])

    def _state(self, key: bytes, revision: int) -> tuple[pb.KeyValue | None, pb.KeyValue | None]:
        layout = self._views.layout
        requests = [one(place + key, revision=revision) for place in (layout.data, layout.tombs)]
        value, tombstone = self._views.read_at(revision, requests)
        return first_of(value), first_of(tombstone)

    def _version(self, kv: pb.KeyValue | None, end: pb.KeyValue | None) -> Version | None:
        """Return the line of the history for a state; ``None`` if there was nothing."""
        base = self._views.base
        if kv is not None:
            found = decode_envelope(kv)
            return Version(
                kv.mod_revision - base,
                kv.version,
                found.kind,
                found.time_us,
                len(found.value),
                found.content_type,
                found.expires_us,
                found.metadata,
            )
        if end is None:
            return None
        tombstone: Tombstone = decode_tombstone(end)
        return Version(
            end.mod_revision - base,
            0,
            tombstone.kind,
            tombstone.time_us,
            0,
            DEFAULT_CONTENT_TYPE,
        )
