"""Compares two stores key by key, in one pass over both, with a page of each in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from rundlet_server.cli.copy.sides import Item
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.metadata import encode_metadata

_NAMED_MAX: Final = 10
_CLOCKS_US: Final = 2_000_000
"""Clocks of two machines may differ so much, and with them whether a value has expired."""


class Difference(NamedTuple):
    """A key that is not the same in both stores; ``what`` is one clause."""

    key: str
    what: str


class Comparison(NamedTuple):
    """The result of a comparison.

    Attributes:
        key_count: keys of FROM.
        checksum: SHA-256 of its keys, values, content types and times of expiry.
        differences: the first few differences.
        difference_count: number of all differences.
    """

    key_count: int
    checksum: str
    differences: list[Difference]
    difference_count: int


def compare(
    source: Iterable[list[Item]],
    to: Iterable[list[Item]],
    *,
    merges: bool,
    advance: Callable[[int], None],
) -> Comparison:
    """Compare all keys of two stores.

    Args:
        source: pages of FROM.
        to: pages of TO.
        merges: TO may have keys that FROM does not have.
        advance: called with the number of compared keys.
    """
    differences: list[Difference] = []
    count = key_count = 0
    here_sum, there_sum = hashlib.sha256(), hashlib.sha256()
    for here, there in paired(source, to):
        what = _difference(here, there, merges=merges)
        if what:
            count += 1
            if len(differences) < _NAMED_MAX:
                differences.append(Difference((here or there or _NOTHING).key, what))
        if here is not None:
            key_count += 1
            advance(1)
        if here is not None and there is not None:
            here_sum.update(_bytes(here))
            there_sum.update(_bytes(there))
    assert bool(count) or here_sum.digest() == there_sum.digest(), "equal items have equal sums"
    return Comparison(key_count, here_sum.hexdigest(), differences, count)


def paired(
    source: Iterable[list[Item]], to: Iterable[list[Item]]
) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield each key of two stores once, in order, as a pair; a missing item is ``None``."""
    # The order of code points is that of the UTF-8 bytes.
    here_items = (item for page in source for item in page)
    there_items = (item for page in to for item in page)
    here, there = next(here_items, None), next(there_items, None)
    while here is not None or there is not None:
        is_here = here is not None and (there is None or here.key <= there.key)
        is_there = there is not None and (here is None or there.key <= here.key)
        yield here if is_here else None, there if is_there else None
        here = next(here_items, None) if is_here else here
        there = next(there_items, None) if is_there else there


_NOTHING: Final = Item("", b"", "", None)


def _difference(here: Item | None, there: Item | None, *, merges: bool) -> str:
    """Return the difference as one clause; empty if there is none."""
    if here is None or there is None:
        one = here or there
        if one is None or _may_have_expired(one) or (here is None and merges):
            return ""
        return "is missing in TO" if there is None else "is in TO only"
    if here.value != there.value:
        return "has another value in TO"
    if here.content_type != there.content_type:
        return "has another content type in TO"
    if here.metadata != there.metadata:
        return "has other metadata in TO"
    return "" if here.expires_us == there.expires_us else "expires at another time in TO"


def _may_have_expired(item: Item) -> bool:
    return item.expires_us is not None and item.expires_us <= system_clock_us() + _CLOCKS_US


def _bytes(item: Item) -> bytes:
    """Encode the compared parts of an item; different items give different bytes."""
    key = item.key.encode()
    metadata = encode_metadata(item.metadata)
    sizes = f"{len(key)} {len(item.value)} {len(metadata)}"
    about = f"{sizes} {item.expires_us} {item.content_type}\n"
    return about.encode() + key + metadata + item.value
