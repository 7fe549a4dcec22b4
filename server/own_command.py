"""The command of this installation, as a shell finds it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

_NAME: Final = "rundlet"


def own_command() -> str:
    """Return the command as a person types it here: with its place if it is not on the path."""
    own = Path(sys.executable).parent / _NAME
    found = shutil.which(_NAME)
    if not own.exists() or (found is not None and own.samefile(found)):
        return _NAME
    near = os.path.relpath(own)
    return shlex.quote(str(own) if near.startswith(os.pardir) else near)
