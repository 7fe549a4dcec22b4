"""Helpers that several tests share.

Its rooms are ``disks``, ``processes``, ``models`` and ``wire``; ``campaign`` runs the fault
campaigns, ``without_collector`` turns the garbage collector off, ``paces`` tries durations that are
long enough for a busy machine.
"""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The repository."""

PATIENCE_S: Final = 60.0
"""How long a test waits for what must happen, in seconds.

Only a failure takes that long, so it is generous: a busy machine is no fault.
"""
