"""Shapes of objects with or without a time of expiry and metadata: four combinations."""

from __future__ import annotations

from rundlet_server.functions.transfer import cbor
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.metadata import Metadata, encode_metadata


class ShapesOfValues:
    """Objects with the members ``names``, then ``expires`` and ``meta`` if given, then ``last``."""

    def __init__(self, *names: str, last: tuple[str, ...] = ()) -> None:
        self._plain = cbor.Shape(*names, *last)
        self._expiring = cbor.Shape(*names, "expires", *last)
        self._described = cbor.Shape(*names, "meta", *last)
        self._both = cbor.Shape(*names, "expires", "meta", *last)

    def encode(
        self, members: tuple[bytes, ...], expires_us: int | None, metadata: Metadata, *last: bytes
    ) -> bytes:
        """Encode an object; ``members`` and ``last`` are encoded already."""
        if not metadata:
            if expires_us is None:
                return self._plain.encode(*members, *last)
            return self._expiring.encode(*members, cbor.text(rfc3339(expires_us)), *last)
        meta = encode_metadata(metadata)
        if expires_us is None:
            return self._described.encode(*members, meta, *last)
        return self._both.encode(*members, cbor.text(rfc3339(expires_us)), meta, *last)
