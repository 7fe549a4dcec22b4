"""Values: one, and many of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rundlet_server.storage.etcd.cluster.client import FailedCall
from rundlet_server.storage.etcd.cluster.requests import OPS_MAX, one
from rundlet_server.storage.etcd.layout import decode_envelope, entry_of
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import Found, Views, first_of
from rundlet_server.storage.interface import Entry, Limits, Snapshot
from rundlet_server.storage.large_values import Admit
from rundlet_server.storage.requests import check_answer, encode_key, shown_bytes
from rundlet_server.storage.timeline import At, Moment

_CHUNK: Final = OPS_MAX - 4  # beside it, the slots are read


class Reads:
    """Reads of values of one store."""

    def __init__(self, views: Views, limits: Limits) -> None:
        self._views = views
        self._limits = limits

    def get(self, key: str, at: At | None) -> Entry | None:
        """See ``Store.get``."""
        encoded = encode_key(key, self._limits)
        moment, kv = self._views.read_one(at, self._views.layout.data + encoded)
        return None if kv is None else self.entry(key, kv, moment)

    def entry(self, key: str, kv: pb.KeyValue, moment: Moment) -> Entry | None:
        """Return a value as it is shown at a moment; ``None`` if it had expired."""
        envelope = decode_envelope(kv)
        if envelope.is_lapsed(moment.time_us):
            return None
        return entry_of(key, kv, self._views.base, envelope)

    def get_many(self, keys: Sequence[str], at: At | None, admit: Admit | None) -> Snapshot:
        """See ``Store.get_many``.

        etcd cannot report the size of a value without sending it. So an answer that is too large is
        refused after its values were read; no more of them are kept than an answer may have.
        """
        encoded = {encode_key(key, self._limits): key for key in keys}
        sizes = {key: len(key) for key in encoded}
        entries: dict[str, Entry | None] = {}
        kept_bytes = 0
        moment = None
        for chunk, found in self.chunks(list(encoded), at):
            moment = moment or found.moment
            for key, answer in zip(chunk, found.answers, strict=True):
                kv = first_of(answer)
                is_shown = kv is not None and key not in found.hidden
                entry = self.entry(encoded[key], kv, moment) if kv and is_shown else None
                sizes[key] += shown_bytes(entry) if entry else 0
                kept_bytes += sizes[key]
                if kept_bytes <= self._limits.answer_bytes_max or len(encoded) == 1:
                    entries[encoded[key]] = entry
        moment = moment or self._views.read(at, lambda _: []).moment
        check_answer([sizes[key.encode()] for key in keys], self._limits, admit)
        return Snapshot(moment, [entries[key] for key in keys])

    def chunks(
        self, keys: Sequence[bytes], at: At | None
    ) -> Iterator[tuple[Sequence[bytes], Found]]:
        """Read keys at one moment, in as few calls as etcd and the size of their values allow."""
        data = self._views.layout.data
        size = _CHUNK
        while keys:
            chunk = keys[:size]
            try:
                found = self._views.read(
                    at,
                    lambda revision, chunk=chunk: [  # type: ignore[misc] # its default is known
                        one(data + key, revision=revision) for key in chunk
                    ],
                )
            except FailedCall as ex:
                if ex.failure != "too large" or len(chunk) == 1:
                    raise
                size = len(chunk) // 2
                continue
            at = found.moment
            yield chunk, found
            keys = keys[size:]
