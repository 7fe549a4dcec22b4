"""Lists: ranges of keys, and pages of them with keys rolled up at a delimiter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from rundlet_server.storage.errors import InvalidKey
from rundlet_server.storage.log.format.locator import Locator

_ABOVE_ALL_KEYS = b"\xff"
"""No UTF-8 text starts with this byte."""


class Sorted(Protocol):
    """Keys in order with their locators: a ``View``, or the index of a text file."""

    def scan(
        self, start: bytes, at: int | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, Locator]]:
        """Yield keys from ``start`` on (in reverse: below it) with their newest versions."""


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
        """Return what is left behind ``after``: a key, or a prefix that was rolled up."""
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

    def scan(self, view: Sorted, at: int | None) -> Iterator[tuple[bytes, Locator]]:
        """Yield the keys of the range with their newest versions, tombstones among them."""
        if self.reverse:
            for key, locator in view.scan(self.high, at, reverse=True):
                if key < self.low:
                    return
                yield key, locator
        else:
            for key, locator in view.scan(self.low, at):
                if key >= self.high:
                    return
                yield key, locator


@dataclass(frozen=True, slots=True)
class Cost:
    """What may be on a page: so many bytes of keys, and of values if it has any."""

    has_values: bool
    bytes_max: int


@dataclass(slots=True)
class FoundPage:
    """Keys with their locators, prefixes rolled up, where the next page begins, size in bytes."""

    keys: list[tuple[bytes, Locator]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    resume: str | None = None
    size: int = 0

    def __len__(self) -> int:
        return len(self.keys) + len(self.prefixes)


def list_page(
    view: Sorted,
    wanted: Range,
    *,
    limit: int,
    delimiter: str | None,
    at: int | None,
    is_live: Callable[[Locator], bool],
    cost: Cost,
) -> FoundPage:
    """Return up to ``limit`` keys and prefixes of a range that have a value.

    The page ends earlier if it would cost more than it may, but has at least one of them.
    """
    page = FoundPage()
    mark = encode_bound(delimiter) if delimiter else None
    rest: Range | None = wanted
    last = ""
    while rest is not None:
        scanned, rest = rest, None
        for key, locator in scanned.scan(view, at):
            if not is_live(locator):
                continue
            rolled_up = line_prefix(key, wanted.prefix, mark)
            size = page.size + len(rolled_up or key)
            if cost.has_values and rolled_up is None:
                size += locator.value_size
            if len(page) == limit or (size > cost.bytes_max and len(page)):
                page.resume = last
                return page
            page.size = size
            if rolled_up is None:
                last = key.decode()
                page.keys.append((key, locator))
                continue
            # All keys under the prefix are one line: continue behind them, without reading them.
            last = rolled_up.decode()
            page.prefixes.append(last)
            rest = scanned.resumed(last, delimiter)
            break
    return page


def encode_bound(bound: str) -> bytes:
    """Return the UTF-8 bytes of a prefix, a delimiter, or where a range begins or ends.

    Raises:
        InvalidKey: it has none.
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
