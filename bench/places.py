"""The paths of the files that a run writes."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
REPORT: Final = ROOT / "bench" / "report"
RAW_NAME: Final = "raw.json"
MISSING_NAME: Final = "missing.json"
"""The file that lists what was skipped or failed, and why."""
SUMMARY_NAME: Final = "summary.md"
"""The section for the page that shows what to expect."""
