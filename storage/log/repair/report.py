"""What a repair reports, and the lines that say what is lost and what came back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.log.check.opened import Problem
from rundlet_server.storage.timeline import EventKind

REPORT_NAME: Final = "LOST"
"""The file in the folder of the originals that lists all that is lost."""
UNFINISHED_NAME: Final = "LOST.unfinished"
"""Its name until the repair is done: a repair that ended early has not reported its losses."""


class Loss(NamedTuple):
    """A part of a file that is lost. Offset and size in bytes; size 0 if it is not known."""

    path: Path
    offset: int
    size: int
    reason: str


class LostVersion(NamedTuple):
    """A version that an index file knows of and that the log no longer holds."""

    key: str
    revision: int
    kind: EventKind


class CameBack(NamedTuple):
    """A key that has an older value again.

    Attributes:
        key: the key.
        revision: of the value that it has now.
        newer_revision: of the value that replaced it and is lost; 0 if an index file only shows
            that this value was replaced or deleted.
    """

    key: str
    revision: int
    newer_revision: int


@dataclass(slots=True)
class RepairReport:
    """What was wrong, what is lost, what is kept.

    Attributes:
        problems: as ``verify`` finds them; if empty, nothing was changed.
        losses: parts of files that could not be read.
        lost_versions: versions that were in them, as far as an index file tells.
        came_back: keys that have an older value again, as far as an index file tells.
        deletes_kept: deletes and expiries that were in them and could be written again.
        record_count, key_count: of the repaired store.
        revision: of the repaired store; at or above every revision that any file knew of.
        originals: the folder that keeps the files that were replaced.
        list_path: the file that lists all that is lost; ``None`` if nothing is.
    """

    problems: list[Problem]
    losses: list[Loss] = field(default_factory=list)
    lost_versions: list[LostVersion] = field(default_factory=list)
    came_back: list[CameBack] = field(default_factory=list)
    deletes_kept: int = 0
    record_count: int = 0
    key_count: int = 0
    revision: int = 0
    originals: Path | None = None
    list_path: Path | None = None

    @property
    def is_anything_lost(self) -> bool:
        """Whether the repaired store may hold less, or older values, than the store held."""
        return bool(self.losses or self.lost_versions or self.came_back)

    def lost_lines(self) -> Iterator[str]:
        """Yield one line for each thing that is lost."""
        for loss in self.losses:
            size = f"{loss.size} bytes" if loss.size else "bytes of unknown number"
            yield f"lost: {loss.path}:{loss.offset}: {size}: {loss.reason}"
        for version in self.lost_versions:
            yield f"lost: {version.kind} of revision {version.revision} of key {version.key}"

    def came_back_lines(self) -> Iterator[str]:
        """Yield one line for each key that has an older value again."""
        for key, revision, newer in self.came_back:
            why = f"the value of revision {newer} is lost"
            if not newer:
                why = "an index file shows that it was replaced or deleted"
            yield f"came back: value of revision {revision} of key {key}: {why}"


def on_one_line(text: str) -> str:
    """Return a text with all characters escaped that would end a line or cannot be printed."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
