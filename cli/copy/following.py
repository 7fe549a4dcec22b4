"""``rundlet copy --follow``: apply every change to the other store, too, until Ctrl-C."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import Final, NoReturn

from rundlet_server.cli.copy.copying import COMPACTED, ended
from rundlet_server.cli.copy.notes import Note, Notes
from rundlet_server.cli.copy.patience import patiently
from rundlet_server.cli.copy.replaying import replay
from rundlet_server.cli.copy.sides import Side
from rundlet_server.cli.exits import CommandError, ExitCode, Interrupted
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import stdout_is_terminal, write_line
from rundlet_server.storage.clock import system_clock_us

_WAIT_S: Final = 1.0
_SHOW_EVERY_S: Final = 1.0


class Follower:
    """Applies the changes of one store to another, and shows how far behind that is."""

    def __init__(self, source: Side, to: Side, note: Note, notes: Notes, *, as_json: bool) -> None:
        self._source = source
        self._to = to
        self._note = note
        self._notes = notes
        self._as_json = as_json
        self._is_terminal = stdout_is_terminal() and not as_json
        self._is_applying = False
        self._shown: tuple[int, int] | None = None
        self._shown_s = -math.inf
        self._behind = 0

    def run(self) -> NoReturn:
        """Follow until the process is interrupted, even if either store restarts.

        Raises:
            Interrupted: Ctrl-C; the message says how to continue.
            CommandError: FROM was unreachable for longer than it keeps history.
            RundletError, StoreError: an error that is not temporary.
        """
        try:
            while True:
                patiently(self._step, lambda: self._note.position, patience_s=math.inf)
        except COMPACTED as ex:
            message = (
                f"FROM no longer keeps revision {self._note.position}, which TO has reached; keep"
                " history for longer there (rundlet retention --keep-for), and run the same command"
                " again: it copies all keys again"
            )
            raise CommandError(message, ExitCode.NOT_FOUND) from ex
        except KeyboardInterrupt as ex:
            if self._is_terminal:
                write_line("")
            if self._is_applying:
                self._notes.save(self._note)  # the next run applies these changes again
            else:
                ended(self._to, self._note, self._notes)
            raise Interrupted(self._end()) from ex

    def _step(self) -> None:
        news = self._source.changes(self._note.position)
        self._is_applying = True
        replay(self._to, news.commits, self._reached)
        self._reached(max(news.reached, self._note.position))
        self._is_applying = False
        self._behind = max(0, self._source.head() - self._note.position)
        time_us = news.commits[-1].time_us if news.commits else system_clock_us()
        self._show((system_clock_us() - time_us) / 1e6 if self._behind else 0.0)
        if not self._behind:
            self._notes.save(self._note, at_once=False)
            self._source.wait(self._note.position, _WAIT_S)

    def _reached(self, revision: int) -> None:
        self._note.position = revision
        self._notes.save(self._note, at_once=False)

    def _show(self, behind_s: float) -> None:
        now_s = time.monotonic()
        state = (self._note.position, self._behind)
        if state == self._shown or now_s - self._shown_s < _SHOW_EVERY_S:
            return
        self._shown, self._shown_s = state, now_s
        position, behind = state
        if self._as_json:
            members: dict[str, object] = {
                "revision": position,
                "behind": behind,
                "behind_s": round(behind_s, 3),
            }
            write_line(to_line(members))
            return
        line = f"following: at revision {position}, "
        line += f"{behind} behind ({behind_s:.1f} s)" if behind else "up to date"
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f"\r\x1b[K{line[:width]}")
            sys.stdout.flush()
        else:
            write_line(line)

    def _end(self) -> str:
        far = f"at revision {self._note.position}"
        far += f", {self._behind} behind" if self._behind else ""
        return (
            f"stopped following {far}; run the same command again to go on, or without --follow to"
            " copy the rest and compare"
        )
