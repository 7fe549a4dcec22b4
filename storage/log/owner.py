"""Give subfolders that root makes in a store's folder to the owner of that folder.

Root may run a command on the folder of a server that runs as another user. That server must be able
to use the subfolders that the command leaves; ``files`` does the same for files.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rundlet_server.storage.files import Files


def make_subfolder(files: Files, path: Path) -> None:
    """Make a folder in the folder of a store; the owner of the parent owns it, too."""
    files.make_folder(path)
    give_to_owner(path)


def give_to_owner(path: Path) -> None:
    """Make the owner of the parent folder the owner of a path, if this process runs as root.

    If the path is a link, the link changes its owner, and its target does not.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # the file system has no owners, or root has no rights there
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
