"""The command of this installation, as a person types it in a shell."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

_NAME: Final = "rundlet"


def own_command() -> str:
    """Return the command to type here, with its path unless ``PATH`` finds it."""
    own = Path(sys.executable).parent / _NAME
    found = shutil.which(_NAME)
    if not own.exists() or (found is not None and own.samefile(found)):
        return _NAME
    near = os.path.relpath(own)
    return shlex.quote(str(own) if near.startswith(os.pardir) else near)
