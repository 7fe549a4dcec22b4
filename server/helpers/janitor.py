"""Remove a folder once the process that started this one has ended.

``python -m rundlet_server.server.helpers.janitor DIR``

Only the starting process holds the other end of stdin, a pipe, so end-of-file means that it ended.
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
    """Wait for end-of-file, then remove the folder."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # only the end of the server removes its folder
    sys.stdin.buffer.read()
    remove(Path(sys.argv[1]))


def remove(folder: Path) -> None:
    """Remove a folder repeatedly, until it stays removed.

    A helper process that is just starting may still create files in the folder, and a helper that
    has not noticed the end of the server yet still writes to it.
    """
    for _ in range(_TRIES):
        was_there = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PAUSE_S)
        if not was_there and not folder.exists():
            return


if __name__ == "__main__":
    main()
