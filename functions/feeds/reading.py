"""Reading the feed page by page, within bounds on memory.

A page with values is read twice: first without the values, to learn their sizes, then with as many
values as fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rundlet_server.storage.metadata import metadata_bytes
from rundlet_server.storage.timeline import Changes, Timeline

EVENT_BYTES: Final = 256
"""Approximate size of an event in bytes, without its key, value and metadata."""


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
        limit: maximum number of events; only a first commit with more events exceeds it.
        bytes_max: maximum bytes of keys and values; only a larger first commit exceeds it.
        admit: called before the values are read, with the approximate size of the page in bytes.

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
    """Return the revision up to which commits fit, and their size; the first one always fits."""
    until, fitting, size = 0, 0, 0
    for event in page.events:
        size += EVENT_BYTES + len(event.key.encode()) + event.size + metadata_bytes(event.metadata)
        if event.is_last:
            if until and size > bytes_max:
                return until, fitting
            until, fitting = event.revision, size
    return page.next_since, fitting
