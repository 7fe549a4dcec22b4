"""What a view holds, in the words of the interface."""

from __future__ import annotations

from collections.abc import Mapping

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.interface import Entry, KeyInfo, Version
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import KIND_NAMES, Record
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.requests import require_reached


def key_info(view: View, encoded: bytes, locator: Locator, include_values: bool) -> KeyInfo:
    """Return a line of a list; the record is read only for its value or for a rare content type."""
    key = encoded.decode()
    entry = None
    if include_values or not locator.content_type:
        entry = view.read_entry(key, encoded, locator)
    return KeyInfo(
        key,
        locator.revision,
        locator.version,
        locator.value_size,
        entry.content_type if entry else locator.content_type,
        entry if include_values else None,
    )


def read_many(
    view: View,
    keys: Mapping[bytes, str],
    locators: Mapping[bytes, Locator | None],
    *,
    is_newest: bool,
) -> dict[bytes, Entry | None]:
    """Return the entries at the locators of keys; ``None`` where there is none.

    Args:
        view: of the store.
        keys: by their UTF-8 bytes.
        locators: of values.
        is_newest: they are of the keys' newest versions, which the cache may keep.
    """
    entries: dict[bytes, Entry | None] = {}
    for encoded, locator in locators.items():
        if locator is None:
            entries[encoded] = None
            continue
        entry = view.cache.get(encoded)
        if entry is None or entry.revision != locator.revision:
            entry = view.read_entry(keys[encoded], encoded, locator)
            if is_newest:
                view.cache.put(encoded, entry)
        entries[encoded] = entry
    return entries


def version_of(record: Record) -> Version:
    """Return a line of a history."""
    return Version(
        record.revision,
        record.version,
        KIND_NAMES[record.kind],
        record.time_us,
        len(record.value),
        record.content_type,
    )


def check_revision(view: View, at: int | None) -> None:
    """Refuse a revision that cannot be read.

    Raises:
        Compacted: its history is no longer kept, or a restore has left it out.
        InvalidRequest: no commit has reached it yet.
    """
    if at is None:
        return
    if at < view.manifest.oldest_revision or view.manifest.is_in_gap(at):
        raise Compacted(view.manifest.oldest_revision)
    require_reached(at, view.head.revision)
