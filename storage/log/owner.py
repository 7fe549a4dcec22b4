"""Whose the parts of a store's folder are that root makes: the owner's of the folder.

Root may run a command on the folder of a server that runs as another user. That server must be able
to use what the command leaves, as ``files`` gives it the files that root makes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rundlet_server.storage.files import Files


def make_subfolder(files: Files, path: Path) -> None:
    """Make a folder in the folder of a store; it belongs to the owner of that one."""
    files.make_folder(path)
    give_to_owner(path)


def give_to_owner(path: Path) -> None:
    """Give a path, if this is root, to the owner of its parent folder.

    If that user has put a link there, the link is given away, and not what it leads to.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # the file system has no owners, or root has no rights there
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
