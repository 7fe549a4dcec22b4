"""Reading the feed page by page, within bounds on memory.

A page with values is read twice: first without the values, which tells their sizes, then with as
many of them as there is room for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rundlet_server.storage.metadata import metadata_bytes
from rundlet_server.storage.timeline import Changes, Timeline

EventBytes: Final = 256
"""About what an event takes beside its key and its value."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which changes: of keys with a prefix, with their values or without."""

    prefix: str
    include_values: bool


def read_page(
    store: Timeline,
    selection: Selection,
    since: int,
    *,
    limit: int,
    bytes_max: int,
    admit: Callable[[int], None],
) -> Changes:
    """Read the changes after a revision.

    Args:
        store: the store.
        selection: which changes.
        since: a revision.
        limit: the most events, but for a first commit that has more.
        bytes_max: the most bytes of keys and values, likewise.
        admit: called with about the size of what will be read, before values are read.

    Raises:
        StoreError: as ``Store.changes``, and what ``admit`` raises.
    """
    page = store.changes(since, prefix=selection.prefix, limit=limit)
    if not selection.include_values or not page.events:
        return page
    until, size = reach(page, bytes_max)
    admit(size)
    return store.changes(
        since, prefix=selection.prefix, limit=limit, include_values=True, until=until
    )


def reach(page: Changes, bytes_max: int) -> tuple[int, int]:
    """Return the last revision whose commits fit, and the size of them all; at least one fits."""
    until, fitting, size = 0, 0, 0
    for event in page.events:
        size += EventBytes + len(event.key) + event.size + metadata_bytes(event.metadata)
        if event.is_last:
            if until and size > bytes_max:
                return until, fitting
            until, fitting = event.revision, size
    return page.next_since, fitting
