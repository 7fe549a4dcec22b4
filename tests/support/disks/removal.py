"""Remove the folder of a store that is open, as a user does under a running server."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

ATTEMPTS = 20


def remove_in_use(folder: Path) -> None:
    """Remove a folder in which a process may make a file meanwhile.

    ``rmtree``, like ``rm -rf``, lists a folder once: it fails if the folder has a new file at the
    end. A store makes few files, and none once it has seen that its own are gone.
    """
    for _ in range(ATTEMPTS):
        try:
            return shutil.rmtree(folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
    raise AssertionError(f"files are made in {folder} again and again")
