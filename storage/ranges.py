"""Ranges of keys, by their UTF-8 bytes, as ``Store.scan`` and ``Store.count`` name them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rundlet_server.storage.errors import InvalidKey

_ABOVE_ALL_KEYS = b"\xff"
"""No UTF-8 text starts with this byte."""


@dataclass(frozen=True, slots=True)
class Range:
    """Keys from ``low`` on and below ``high``, upwards or downwards."""

    low: bytes
    high: bytes
    prefix: bytes
    reverse: bool

    @classmethod
    def of(cls, prefix: str, start: str | None, end: str | None, *, reverse: bool) -> Range:
        """Return the range of keys that start with ``prefix``, are >= ``start`` and < ``end``.

        Raises:
            InvalidKey: one of them cannot be encoded as UTF-8.
        """
        encoded = encode_bound(prefix)
        low = max(encoded, encode_bound(start or ""))
        high = successor(encoded)
        if end is not None:
            high = min(high, encode_bound(end))
        return cls(low, high, encoded, reverse)

    def resumed(self, after: str | None, delimiter: str | None) -> Range:
        """Return the rest of the range behind ``after``: a key, or a prefix that was rolled up."""
        if after is None:
            return self
        place = encode_bound(after)
        if self.reverse:
            return replace(self, high=min(self.high, place))
        is_rolled_up = (
            delimiter is not None and encode_bound(delimiter) in place[len(self.prefix) :]
        )
        following = successor(place) if is_rolled_up else place + b"\0"
        return replace(self, low=max(self.low, following))


def encode_bound(bound: str) -> bytes:
    """Return the UTF-8 bytes of a prefix, a delimiter, or where a range begins or ends.

    Raises:
        InvalidKey: the text has no UTF-8 form.
    """
    try:
        return bound.encode()
    except UnicodeEncodeError as ex:
        raise InvalidKey(f"a bound of a range cannot be encoded as UTF-8: {ex.reason}") from ex


def line_prefix(key: bytes, prefix: bytes, delimiter: bytes | None) -> bytes | None:
    """Return the part of a key up to the first delimiter behind the prefix, if there is one."""
    if delimiter is None:
        return None
    place = key.find(delimiter, len(prefix))
    return None if place < 0 else key[: place + len(delimiter)]


def successor(prefix: bytes) -> bytes:
    """Return the smallest bytes above everything that starts with ``prefix``."""
    if not prefix:
        return _ABOVE_ALL_KEYS
    return prefix[:-1] + bytes([prefix[-1] + 1])
