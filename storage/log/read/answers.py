"""Turn what a view holds into the types of the interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rundlet_server.storage.interface import Entry, KeyInfo
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import KIND_NAMES, TOMBSTONES
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.log.read.past import kept_of
from rundlet_server.storage.log.read.times import require_kept, time_at, time_of
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.requests import require_reached
from rundlet_server.storage.timeline import At, History, Moment, Version


def key_info(view: View, encoded: bytes, locator: Locator, include_values: bool) -> KeyInfo:
    """Return a line of a list; the record is read only for its value or for a rare content type."""
    key = encoded.decode()
    entry = None
    if include_values or not locator.content_type:
        entry = view.read_entry(key, encoded, locator)
    time_us = entry.time_us if entry else time_of(view, locator)
    return KeyInfo(
        key,
        locator.revision,
        locator.version,
        locator.value_size,
        entry.content_type if entry else locator.content_type,
        entry if include_values else None,
        time_us,
        locator.expires_us or None,
    )


def with_metadata(
    view: View, keys: Sequence[KeyInfo], locators: Sequence[Locator]
) -> list[KeyInfo]:
    """Return lines of a list with their metadata; a record is read only if it can have any."""
    return [
        info._replace(
            metadata=info.entry.metadata
            if info.entry
            else view.read_metadata(info.key.encode(), locator)
        )
        for info, locator in zip(keys, locators, strict=True)
    ]


def read_many(
    view: View,
    keys: Mapping[bytes, str],
    locators: Mapping[bytes, Locator | None],
    *,
    is_newest: bool,
) -> dict[bytes, Entry | None]:
    """Return the entries at the locators of keys; ``None`` if there is none.

    Args:
        view: of the store.
        keys: by their UTF-8 bytes.
        locators: of values.
        is_newest: the locators are the keys' newest versions, so the cache may keep the entries.
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


def key_history(view: View, key: bytes, *, limit: int, before: int | None) -> History:
    """Return the kept versions of a key; a record is read only for a rare content type."""
    found: list[Locator] = []
    resume = None
    for locator in kept_of(view, key):
        if before is not None and locator.revision >= before:
            continue
        if len(found) >= limit:
            resume = found[-1].revision if found else before
            break
        found.append(locator)
    versions = [
        Version(
            locator.revision,
            locator.version,
            KIND_NAMES[locator.kind],
            time_of(view, locator),
            locator.value_size,
            locator.content_type or view.read(key, locator).content_type,
            locator.expires_us or None,
            view.read_metadata(key, locator),
        )
        for locator in found
    ]
    return History(view.head.revision, view.manifest.oldest_revision, versions, resume)


def revision_of(at: At | None) -> int | None:
    """Return the revision at which a read looks; ``None`` for the newest."""
    return at.revision if isinstance(at, Moment) else at


def moment_of(view: View, at: At | None, clock: SharedClock) -> Moment:
    """Return the moment at which a read looks."""
    if at is None:
        return Moment(view.head.revision, clock.now_us())
    return at if isinstance(at, Moment) else Moment(at, time_at(view, at))


def live_at(moment: Moment) -> Callable[[Locator], bool]:
    """Return a function that says whether a version is a value that has not expired.

    It judges all versions of one read by the same time: else a reader could see one half of the
    keys of a transaction, although they expire together.
    """
    time_us = moment.time_us

    def is_live(locator: Locator) -> bool:
        is_due = 0 < locator.expires_us <= time_us
        return not is_due and locator.kind not in TOMBSTONES  # a property would take longer

    return is_live


def check_moment(view: View, at: At | None) -> None:
    """Refuse a moment that cannot be read.

    Raises:
        Compacted: its history is no longer kept, or a restore has left it out.
        InvalidRequest: no commit has reached it yet.
    """
    revision = revision_of(at)
    if revision is None:
        return
    require_kept(view, revision)
    require_reached(revision, view.head.revision)
