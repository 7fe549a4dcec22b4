"""Copies all keys of one revision, in order, and saves the last key after each chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rundlet_server.cli.copy.notes import Note, Notes
from rundlet_server.cli.copy.sides import Change, Item, Side
from rundlet_server.cli.copy.verifying import paired
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.storage.errors import LimitExceeded

_CHUNK_ROWS: Final = 20_000
_CHUNK_BYTES: Final = 6 * 1024 * 1024
_DELETES_MAX: Final = 50
"""Few enough for one transaction of any store."""


def load(source: Side, to: Side, note: Note, notes: Notes, advance: Callable[[int], None]) -> None:
    """Copy the keys of the revision ``note.base`` that come after ``note.after``.

    Raises:
        CommandError: a key or a value is too large for the other store.
        Compacted: the revision is no longer kept.
    """
    chunk: list[Item] = []
    size = 0
    for page in source.pages(note.after, note.base):
        if note.with_history and not note.is_again:
            _put_older(source, to, page)
        chunk += page
        size += sum(len(item.value) for item in page)
        if len(chunk) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
            _put(to, chunk, note, notes, advance)
            chunk, size = [], 0
    if chunk:
        _put(to, chunk, note, notes, advance)
    if note.is_again and not note.merges:
        _remove_what_is_gone(source, to, note)
    note.is_loaded = True
    notes.save(note)


def require_room(items: Sequence[Item], to: Side) -> None:
    """Refuse items that are too large for a store, with the key and the option to raise.

    Raises:
        CommandError: a key or a value is too large.
    """
    limits = to.facts.limits
    for key, value, *_ in items:
        what = "value" if len(value) > limits.value_bytes_max else "key"
        size = len(value) if what == "value" else len(key.encode())
        most = limits.value_bytes_max if what == "value" else limits.key_bytes_max
        if size > most:
            message = (
                f"the {what} of {key[:200]!r} has {size} bytes, and {to.facts.shown} takes at most"
                f" {most}; raise --max-{what}-bytes of its server if it is one, or remove the key"
            )
            raise CommandError(message, ExitCode.USAGE)


def _put(
    to: Side, chunk: list[Item], note: Note, notes: Notes, advance: Callable[[int], None]
) -> None:
    try:
        to.put_all(chunk)
    except LimitExceeded:
        require_room(chunk, to)
        raise
    note.after = chunk[-1].key
    note.done += len(chunk)
    notes.save(note)
    advance(len(chunk))


def _put_older(source: Side, to: Side, page: list[Item]) -> None:
    """Store the older versions of the keys of a page, the oldest version of each key first."""
    rounds: list[list[Item]] = []
    for item in page:
        if item.version > 1:
            for number, older in enumerate(source.older(item)):
                rounds += [[]] if number == len(rounds) else []
                rounds[number].append(older)
    for items in rounds:
        found = [item for item in map(source.value_of, items) if item is not None]
        if found:
            to.put_all(found)


def _remove_what_is_gone(source: Side, to: Side, note: Note) -> None:
    """Delete the keys that an earlier attempt copied and that FROM has deleted since."""
    gone: list[Change] = []
    for here, there in paired(source.pages("", note.base), to.pages("", None)):
        if here is None and there is not None:
            gone.append(Change(there.key))
        if len(gone) == _DELETES_MAX:
            to.apply(gone)
            gone = []
    if gone:
        to.apply(gone)
