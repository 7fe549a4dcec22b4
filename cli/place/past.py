"""The history of a store opened in this process, as records of the client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import rundlet_server.storage.interface as engine
from rundlet import Difference, Erased, Place, Retention, RolledBack, State, Version
from rundlet_server.storage import timeline
from rundlet_server.storage.past import differences, rollback
from rundlet_server.storage.requests import require_feature
from rundlet_server.storage.timeline import At, Moment

_PAGE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class StorePast:
    """The methods of ``StoreTarget`` on history; ``rundlet.Client`` documents them."""

    def __init__(self, store: engine.Store) -> None:
        self.store = store

    def history(self, key: str, *, limit: int | None = None) -> Iterator[Version]:
        """Yield the kept versions of a key, newest first."""
        require_feature(self.store.info, "history")
        before: int | None = None
        left = limit
        while left != 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self.store.history(key, limit=size, before=before)
            yield from map(_version, page.versions)
            left = None if left is None else left - len(page.versions)
            before = page.resume
            if before is None:
                return

    def diff(
        self, start: Place, end: Place | None = None, *, prefix: str = ""
    ) -> Iterator[Difference]:
        """Yield the keys that differ between two revisions or times."""
        self._require_feed()
        before = self._moment(start)
        after = differences.moment_of(self.store) if end is None else self._moment(end)
        resume: str | None = None
        while True:
            page = differences.differences(
                self.store, before, after, prefix=prefix, resume=resume, limit=_PAGE
            )
            yield from map(_difference, page.found)
            resume = page.resume
            if resume is None:
                return

    def rollback(
        self,
        to: Place,
        *,
        prefix: str | None = None,
        keys: Sequence[str] | None = None,
        dry_run: bool = False,
    ) -> RolledBack:
        """Restore keys to their values at a revision or a time."""
        require_feature(self.store.info, "history")
        if keys is None:
            self._require_feed()
        scope = rollback.Scope(prefix or "", keys)
        done = rollback.roll_back(self.store, self._moment(to), scope, dry_run=dry_run)
        changes = tuple(map(_difference, done.changes)) if dry_run else ()
        return RolledBack(done.revision, done.restored, done.deleted, done.unchanged, changes)

    def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; if arguments are given, change them first."""
        if keep_versions is not None or keep_for_s is not None:
            require_feature(self.store.info, "retention")
            now = self.store.retention()
            wanted = timeline.Retention(
                now.keep_versions if keep_versions is None else keep_versions,
                now.keep_for_s if keep_for_s is None else keep_for_s,
            )
            self.store.retain(wanted)
        kept = self.store.retention()
        return Retention(kept.keep_versions, kept.keep_for_s)

    def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Erase every version of a key for good; return ``None`` if there is none."""
        require_feature(self.store.info, "erase")
        erased = self.store.erase(key, wait_s=wait_s)
        if not erased.is_found:
            return None
        return Erased(erased.revision, erased.versions, erased.is_pending)

    def at_of(self, revision: int | None, at: datetime | str | None) -> At | None:
        """Return the revision or moment of a read; ``None`` for the head."""
        if revision is None and at is None:
            return None
        require_feature(self.store.info, "history")
        if at is None:
            return revision
        time = datetime.fromisoformat(at) if isinstance(at, str) else at
        return self.store.moment(max(0, (time - _EPOCH) // timedelta(microseconds=1)))

    def _moment(self, place: Place) -> Moment:
        at = self.at_of(place, None) if isinstance(place, int) else self.at_of(None, place)
        return differences.moment_of(self.store, at)

    def _require_feed(self) -> None:
        require_feature(self.store.info, "history")
        require_feature(self.store.info, "changes")


def moment_of_us(time_us: int) -> datetime:
    """Convert a time of the store, in microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=time_us)


def _version(version: timeline.Version) -> Version:
    return Version(
        version.revision,
        version.version,
        version.kind,
        moment_of_us(version.time_us),
        version.size,
        version.content_type,
        _expires(version.expires_us),
        dict(version.metadata),
    )


def _difference(difference: differences.Difference) -> Difference:
    return Difference(
        difference.key, difference.change, _state(difference.before), _state(difference.after)
    )


def _state(state: differences.KeyState | None) -> State | None:
    if state is None:
        return None
    revision, version, time_us, size, content_type, expires_us, metadata = state
    about = (content_type, _expires(expires_us), dict(metadata))
    return State(revision, version, moment_of_us(time_us), size, *about)


def _expires(expires_us: int | None) -> datetime | None:
    return None if expires_us is None else moment_of_us(expires_us)
