"""Removes a folder once the process that started it is gone.

``python -m rundlet_server.server.helpers.janitor DIR``

Stdin is a pipe held by that process alone, so end-of-file means that it ended.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

_TRIES: Final = 20
_PAUSE_S: Final = 0.2


def main() -> None:
    """Wait for end-of-file, then remove."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the server decides when its folder goes
    sys.stdin.buffer.read()
    remove(Path(sys.argv[1]))


def remove(folder: Path) -> None:
    """Remove a folder, until it stays away.

    Helpers that were just starting may still make files in it, and those that have yet to notice
    the end still write to it.
    """
    for _ in range(_TRIES):
        was_there = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PAUSE_S)
        if not was_there and not folder.exists():
            return


if __name__ == "__main__":
    main()
