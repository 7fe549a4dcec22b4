"""Copy the last report into the documentation: ``python -m bench.publish``."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

from bench.places import REPORT, ROOT, SUMMARY_NAME
from bench.summary import TITLE

_TARGET: Final = ROOT / "docs" / "performance"
_PATTERNS: Final = ("report.md", "*.svg")  # the raw figures name the machine and its paths


def publish(source: Path, target: Path) -> bool:
    """Replace the report in ``target`` and the figures on its other page.

    Returns:
        False if there is no report.
    """
    if not (source / "report.md").exists():
        return False
    target.mkdir(parents=True, exist_ok=True)
    for stale in [target / "README.md", *target.glob("*.svg")]:
        stale.unlink(missing_ok=True)
    for path in (path for pattern in _PATTERNS for path in source.glob(pattern)):
        shutil.copy(path, target / ("README.md" if path.name == "report.md" else path.name))
    _insert_summary((source / SUMMARY_NAME).read_text(), target / "numbers.md")
    return True


def _insert_summary(section: str, page: Path) -> None:
    """Replace the section of figures on a page, or put it before the second section."""
    if not page.exists() or not section:
        return
    sections = re.split(r"(?m)^(?=## )", page.read_text())
    sections = [one for one in sections if not one.startswith(TITLE)]
    sections.insert(2, f"{section.rstrip()}\n\n")
    page.write_text("".join(sections))


def main() -> int:
    """Publish the last report; return 1 if there is none."""
    if not publish(REPORT, _TARGET):
        print("there is no report to publish; run make bench first", file=sys.stderr)
        return 1
    print(f"copied the report to {_TARGET.relative_to(ROOT)}; commit it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
