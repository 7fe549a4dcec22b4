"""The progress of a copy, saved in a file, so that an interrupted copy can resume.

The file is in neither store: readers of the new store would see a key in it, and so would the
comparison at the end. It has the ids of both stores, so no other copy uses it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rundlet_server.cli.exits import CommandError

_FORMAT: Final = 1
_SAVE_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Note:
    """The progress of a copy.

    Attributes:
        from_id, to_id: ids of the stores.
        base: the revision of FROM whose keys are copied first.
        position: the revision of FROM up to which TO has all changes.
        with_history: copy older versions, too.
        after: the last copied key.
        done: number of copied keys.
        total: number of keys to copy.
        is_loaded: all keys of ``base`` are copied.
        is_again: an earlier attempt copied keys, so TO may have keys that FROM no longer has.
        merges: TO had keys of its own.
        to_head: the newest revision of TO when the copy ended; 0 if it was interrupted.
    """

    from_id: str
    to_id: str
    base: int
    position: int
    with_history: bool
    after: str = ""
    done: int = 0
    total: int = 0
    is_loaded: bool = False
    is_again: bool = False
    merges: bool = False
    to_head: int = 0

    @property
    def is_begun(self) -> bool:
        """Whether anything was copied."""
        return self.done > 0 or self.position > self.base

    def begin_again(self, base: int) -> None:
        """Copy all keys again, of a newer revision."""
        self.base = self.position = base
        self.after, self.done, self.is_loaded, self.is_again = "", 0, False, True


class Notes:
    """The file of one copy."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved_s = 0.0

    @classmethod
    def of(cls, from_id: str, to_id: str) -> Notes:
        """Return the notes of the copy from one store to another."""
        home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        name = hashlib.sha256(f"{from_id} {to_id}".encode()).hexdigest()[:32]
        return cls(Path(home) / "rundlet" / "copies" / f"{name}.json")

    def read(self, from_id: str, to_id: str) -> Note | None:
        """Return the note; ``None`` if there is none of these two stores.

        Raises:
            CommandError: the file is not readable as a note.
        """
        try:
            members = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as ex:
            raise self._unreadable() from ex
        if not isinstance(members, dict) or members.pop("format", None) != _FORMAT:
            raise self._unreadable()
        try:
            note = Note(**members)
        except TypeError as ex:
            raise self._unreadable() from ex
        return note if (note.from_id, note.to_id) == (from_id, to_id) else None

    def save(self, note: Note, *, at_once: bool = True) -> None:
        """Replace the file atomically; without ``at_once``, write at most once a second.

        Raises:
            OSError: it cannot be written.
        """
        now_s = time.monotonic()
        if not at_once and now_s - self._saved_s < _SAVE_EVERY_S:
            return
        self._saved_s = now_s
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            with part.open("x") as file:
                json.dump({"format": _FORMAT, **dataclasses.asdict(note)}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)

    def _unreadable(self) -> CommandError:
        return CommandError(
            f"{self._path} does not say how far the copy is; remove it, empty TO and begin again"
        )
