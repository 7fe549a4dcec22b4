"""One copy, step by step; each step resumes where an earlier run has ended.

1. Copy all keys of one revision: with history, the oldest kept one, otherwise the newest.
2. Apply the later changes, up to the newest commit.
3. Compare both stores: FROM at that commit, and TO as it is.

Steps 1 and 2 hold the revision in FROM if this process can do that. If FROM has dropped the
revision nevertheless, step 1 begins again at a newer one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Final

import rundlet
from rundlet_server.cli.copy.loading import load
from rundlet_server.cli.copy.notes import Note, Notes
from rundlet_server.cli.copy.patience import patiently
from rundlet_server.cli.copy.replaying import catch_up
from rundlet_server.cli.copy.sides import Commit, Side
from rundlet_server.cli.copy.verifying import Comparison, compare
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.show.progress import RowProgress
from rundlet_server.cli.show.terminal import escaped
from rundlet_server.storage import errors

_PATIENCE_S: Final = 60.0
COMPACTED: Final = (errors.Compacted, rundlet.Compacted)
_ATTEMPTS: Final = 5


def begun(
    source: Side, to: Side, notes: Notes, *, merges: bool, with_history: bool
) -> tuple[Note, bool]:
    """Return the progress of a copy, and whether an earlier run has begun it.

    Raises:
        CommandError: TO is read-only, is the same store as FROM, or has keys of its own.
    """
    here, there = source.facts, to.facts
    if here.store_id == there.store_id:
        raise CommandError("FROM and TO are the same store", ExitCode.USAGE)
    if there.is_read_only:
        raise CommandError(f"{there.shown} takes no writes", ExitCode.NOT_ALLOWED)
    key_count = to.key_count()
    note = notes.read(here.store_id, there.store_id)
    if note is not None and (key_count or not note.is_begun):
        note.merges |= merges
        if note.to_head and not note.merges:
            _require_untouched(to, note)
        note.to_head = 0
        return note, True
    if key_count and not merges:
        message = (
            f"{there.shown} is not empty: it has {key_count} keys; copy to an empty store, or give"
            " --merge to add to it, where FROM wins"
        )
        raise CommandError(message, ExitCode.CONFLICT)
    with_history = with_history and here.keeps_history and there.keeps_history
    base = source.oldest() if with_history else source.head()
    about = (here.store_id, there.store_id, base, base, with_history)
    note = Note(*about, merges=key_count > 0)
    if with_history and not note.merges:
        _retain_as(source, to)
    return note, False


def ended(to: Side, note: Note, notes: Notes) -> None:
    """Save that the copy is done, so that the next run notices later writes of others to TO."""
    note.to_head = to.head()
    notes.save(note)


def bring_up_to_date(source: Side, to: Side, note: Note, notes: Notes) -> None:
    """Copy all missing keys and changes, up to the newest commit.

    Raises:
        CommandError, RundletError, StoreError: the copy cannot continue now; a later run can.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with source.hold(note.position):
                _load(source, to, note, notes)
                if source.facts.keeps_history:
                    _catch_up(source, to, note, notes)
        except COMPACTED:
            if attempt == _ATTEMPTS - 1:
                raise
            lost = note.position
            note.begin_again(source.head())
            sys.stderr.write(
                f"rundlet: FROM no longer keeps revision {lost}; copying again as of revision"
                f" {note.base}\n"
            )
        else:
            to.finish()
            return


def verify(source: Side, to: Side, note: Note) -> Comparison:
    """Compare both stores.

    Raises:
        CommandError: FROM no longer keeps the revision that TO has reached.
    """
    compared: list[Comparison] = []

    def once() -> None:
        with source.hold(note.position), RowProgress("comparing", "keys") as progress:
            progress.begin(source.key_count())
            pages = source.pages("", note.position), to.pages("", None)
            compared.append(compare(*pages, merges=note.merges, advance=progress.advance))

    try:
        patiently(once, lambda: None, patience_s=_PATIENCE_S)
    except COMPACTED as ex:
        message = (
            f"all is copied, but not compared: FROM no longer keeps revision {note.position}; keep"
            " history for longer there (rundlet retention --keep-for) and run the same command"
            " again"
        )
        raise CommandError(message, ExitCode.NOT_FOUND) from ex
    return compared[-1]


def _load(source: Side, to: Side, note: Note, notes: Notes) -> None:
    if note.is_loaded:
        return
    if not note.total or note.is_again:
        note.total = source.key_count()
    with RowProgress("copying", "keys") as progress:
        progress.begin(max(note.total, note.done), done=note.done)
        _patiently(lambda: load(source, to, note, notes, progress.advance), note)


def _catch_up(source: Side, to: Side, note: Note, notes: Notes) -> None:
    head = source.head()
    with RowProgress("catching up", "revisions") as progress:
        progress.begin(head - note.position)

        def on_reached(revision: int) -> None:
            progress.advance(revision - note.position)
            note.position = revision
            notes.save(note, at_once=False)

        _patiently(lambda: catch_up(to, _commits(source, note.position, head), on_reached), note)
    notes.save(note)


def _commits(source: Side, since: int, head: int) -> Iterator[Commit]:
    """Yield the commits up to a revision, and further commits on its page."""
    while since < head:
        news = source.changes(since)
        yield from news.commits
        if not news.commits or news.reached > news.commits[-1].revision:
            yield Commit(news.reached, 0, [])
        since = news.reached


def _patiently(work: Callable[[], None], note: Note) -> None:
    patiently(work, lambda: (note.after, note.position), patience_s=_PATIENCE_S)


def _retain_as(source: Side, to: Side) -> None:
    """Give TO the retention of FROM, which needs a token with the scope ``admin``."""
    try:
        to.retain(*source.retention())
    except (rundlet.Forbidden, errors.ReadOnly) as ex:
        sys.stderr.write(f"{escaped(f'rundlet: TO keeps its own retention: {ex}')}\n")


def _require_untouched(to: Side, note: Note) -> None:
    """Refuse to overwrite writes of others to TO since the copy ended.

    Raises:
        CommandError: there is such a write.
    """
    if not to.facts.keeps_history:
        return
    position = note.to_head
    head = to.head()
    while position < head:
        try:
            news = to.changes(position)
        except (*COMPACTED, errors.InvalidRequest, rundlet.BadRequest):
            return  # too long ago: the comparison at the end finds differences
        for commit in news.commits:
            for change in commit.changes:
                message = (
                    f"{to.facts.shown} was written to after the copy: {change.key[:200]!r} at its"
                    f" revision {commit.revision}; give --merge to go on all the same, where FROM"
                    " wins"
                )
                raise CommandError(message, ExitCode.CONFLICT)
        if news.reached <= position:
            return
        position = news.reached
