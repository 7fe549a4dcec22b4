"""The horizon: the revision behind which old versions may be dropped.

Everything that was visible in the last ``keep_for_s`` seconds stays readable. The *horizon* is
the revision that was the head that long ago; ``index.retention`` says what it means for a version.
"""

from __future__ import annotations

from typing import NamedTuple

from rundlet_server.storage.log.format.manifest import Manifest, Oldest
from rundlet_server.storage.log.holds import Holds
from rundlet_server.storage.log.index.columns import Columns, Flags
from rundlet_server.storage.log.index.retention import needed_versions
from rundlet_server.storage.log.read.times import newest_by, time_at
from rundlet_server.storage.log.read.view import View


class OutdatedError(Exception):
    """A pass that runs would drop versions that the store has to keep by now."""


class Horizon(NamedTuple):
    """What a pass of maintenance keeps.

    Attributes:
        oldest: the oldest state that can be read after the pass, if it drops anything.
        keep_versions: newest versions of a key that are kept whatever their age.
        keep_for_s: the retention that led to the oldest state.
        holds: of long reads.
        forgotten_s: the pass drops outcomes that are forgotten by this second (Unix time).
    """

    oldest: Oldest
    keep_versions: int
    keep_for_s: float
    holds: Holds
    forgotten_s: int = 0

    @property
    def revision(self) -> int:
        """The revision behind which old versions may be dropped."""
        return self.oldest.revision

    def needed(self, columns: Columns) -> Flags:
        """Return one flag per row: false for what the pass drops."""
        kept = (self.revision, self.keep_versions)
        return needed_versions(columns, *kept, forgotten_s=self.forgotten_s)

    def require_kept(self, manifest: Manifest) -> None:
        """Refuse to install the work of a pass that keeps too little by now; with the lock held.

        Raises:
            OutdatedError: the pass has to run again.
        """
        retention = manifest.retention
        if retention.keep_versions > self.keep_versions or retention.keep_for_s > self.keep_for_s:
            raise OutdatedError
        held = self.holds.lowest()
        if held is not None and held < self.revision:
            raise OutdatedError


def horizon_of(view: View, holds: Holds, *, held: int | None, now_us: int, durable: int) -> Horizon:
    """Return the horizon: at most the revision that was the head ``keep_for_s`` ago.

    Args:
        view: up to date.
        holds: of long reads.
        held: the lowest revision that they held a moment ago.
        now_us: the time that decides what has expired.
        durable: the last revision that a power cut keeps. A manifest is durable: if it named a
            later revision, a power cut could leave a head that cannot be read any more.
    """
    retention = view.manifest.retention
    revision = view.head.revision
    if retention.keep_for_s:
        revision = newest_by(view, now_us - round(retention.keep_for_s * 1_000_000))
    oldest = view.manifest.oldest
    revision = min(revision, durable, revision if held is None else held)
    if revision > oldest.revision:
        oldest = Oldest(revision, time_at(view, revision))
    forgotten_s = now_us // 1_000_000
    return Horizon(oldest, retention.keep_versions, retention.keep_for_s, holds, forgotten_s)
