"""Write the messages of a process to stderr, and bound how often one is repeated.

These are the messages of ``logging``, from Rundlet and from the libraries that it uses.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from rundlet_server.storage.notices.repeats import EVERY_S, CallLater, Repeats, call_later


class MessageHandler(logging.StreamHandler[TextIO]):
    """Writes messages to a stream; counts repeated ones instead.

    Messages are of one kind if the same line of code made them because of the same type of error.
    Their texts are not compared: they may quote what a client has sent.
    """

    def __init__(self, form: str, stream: TextIO, later: CallLater = call_later) -> None:
        super().__init__(stream)
        self.setFormatter(logging.Formatter(form))
        self._repeats: Repeats[tuple[str, str]] = Repeats(self._summarize, later)

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        error = record.exc_info[0] if record.exc_info else None
        kind = (record.name, record.pathname, record.lineno, error)
        try:
            message = record.getMessage().partition("\n")[0]
        except Exception:
            self.handleError(record)
            return
        if self._repeats.passes(kind, (record.name, message)):
            super().emit(record)

    def _summarize(self, last: tuple[str, str], count: int) -> None:
        name, message = last
        said = f"{count} more times" if count else "not once more"
        text = f"{said} in {EVERY_S:.0f} s: {message}"
        self.acquire()
        try:
            super().emit(logging.makeLogRecord({"name": name, "msg": text}))
        finally:
            self.release()


def write_messages(*, level: int = logging.WARNING, form: str = "%(message)s") -> None:
    """Write the messages of this process to stderr from now on."""
    logging.basicConfig(level=level, handlers=[MessageHandler(form, sys.stderr)])
