"""Lists: pages of keys, which may be rolled up at a delimiter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import OVERHEAD
from rundlet_server.storage.ranges import Range, encode_bound, line_prefix


class Sorted(Protocol):
    """Keys in order with their locators: a ``View``, or the index of a text file."""

    def scan(
        self, start: bytes, at: int | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, Locator]]:
        """Yield keys from ``start`` on (in reverse: below it) with their newest versions."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The limit of a page in bytes: of its keys, and of values and metadata if it has any."""

    has_values: bool
    bytes_max: int
    has_metadata: bool = False

    def of(self, key_size: int, locator: Locator) -> int:
        """Return how many bytes a value adds to its key."""
        size = locator.size - OVERHEAD - key_size
        return size if self.has_values else size - locator.value_size


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

    The page ends earlier at ``cost.bytes_max``, but has at least one key or prefix.
    """
    page = FoundPage()
    mark = encode_bound(delimiter) if delimiter else None
    has_cost = cost.has_values or cost.has_metadata
    rest: Range | None = wanted
    last = ""
    while rest is not None:
        scanned, rest = rest, None
        for key, locator in scan_range(scanned, view, at):
            if not is_live(locator):
                continue
            rolled_up = line_prefix(key, wanted.prefix, mark)
            size = page.size + len(rolled_up or key)
            if has_cost and rolled_up is None:
                size += cost.of(len(key), locator)
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


def scan_range(wanted: Range, view: Sorted, at: int | None) -> Iterator[tuple[bytes, Locator]]:
    """Yield the keys of the range with their newest versions, tombstones among them."""
    if wanted.reverse:
        for key, locator in view.scan(wanted.high, at, reverse=True):
            if key < wanted.low:
                return
            yield key, locator
    else:
        for key, locator in view.scan(wanted.low, at):
            if key >= wanted.high:
                return
            yield key, locator
