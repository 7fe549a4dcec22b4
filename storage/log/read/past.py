"""What a key held in the past: by version, within its newest life; by revision, in any of them."""

from __future__ import annotations

from collections.abc import Iterable

from rundlet_server.storage.interface import Entry
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import ERASE
from rundlet_server.storage.log.index.retention import kept_versions, newest_life
from rundlet_server.storage.log.read.times import compacted, time_at
from rundlet_server.storage.log.read.view import View


class NotThereError(Exception):
    """A key held no such value, or it is no longer kept; the text, one clause, says which."""


def kept_of(view: View, key: bytes, found: Iterable[Locator] | None = None) -> Iterable[Locator]:
    """Return the kept versions of a key, newest first.

    Args:
        view: of the store.
        key: the key.
        found: all its versions, if some of them are not in the view yet.
    """
    manifest = view.manifest
    return kept_versions(
        view.versions(key) if found is None else found,
        oldest_revision=manifest.oldest_revision,
        keep_versions=manifest.retention.keep_versions,
    )


def read_version(view: View, key: str, encoded: bytes, version: int) -> Entry | LargeValue | None:
    """Return a version of a key's newest life; ``None`` if that life never had it.

    Raises:
        Compacted: the version seems to be no longer kept.
    """
    newest: Locator | None = None
    for locator in newest_life(kept_of(view, encoded)):
        newest = newest or locator
        if locator.version == version:
            return view.peek(key, encoded, locator)
    last = newest or view.find(encoded)
    is_known = last is not None and last.kind != ERASE
    if is_known and version > 0 and (newest is None or version < newest.version):
        raise compacted(view)
    return None


def find_version(kept: Iterable[Locator], version: int) -> Locator:
    """Return a version of the newest life.

    Raises:
        NotThereError: the version is not kept.
    """
    for locator in newest_life(kept):
        if locator.version == version:
            return locator
    raise NotThereError(f"version {version} of the key is not kept")


def find_at(view: View, kept: Iterable[Locator], revision: int) -> Locator:
    """Return the value that a key had at a revision, unless it had expired by then.

    Args:
        view: of the store.
        kept: versions of the key, newest first.
        revision: at most the head, or the revision of a commit that is being made.

    Raises:
        NotThereError: the key had no value, or the value is no longer kept.
    """
    for locator in kept:
        if locator.revision > revision:
            continue
        has_expired = locator.expires_us and locator.expires_us <= time_at(view, revision)
        if locator.is_tombstone or has_expired:
            break
        return locator
    else:
        oldest = view.manifest.oldest_revision
        if revision < oldest:
            raise NotThereError(f"revision {revision} is no longer kept for the key")
    raise NotThereError(f"the key had no value at revision {revision}")
