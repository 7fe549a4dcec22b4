"""Where a run leaves what."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
REPORT: Final = ROOT / "bench" / "report"
RAW_NAME: Final = "raw.json"
MISSING_NAME: Final = "missing.json"
"""What was skipped or failed, and why."""
