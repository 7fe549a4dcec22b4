"""What tests share.

``disks``, ``processes``, ``models`` and ``wire`` are its rooms; ``campaign`` is the frame of the
fault campaigns, ``without_collector`` keeps the garbage collector out of the way.
"""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The repository."""
