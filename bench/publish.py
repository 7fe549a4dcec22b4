"""Copy the last report into the documentation: ``python -m bench.publish``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from bench.places import REPORT, ROOT

_TARGET: Final = ROOT / "docs" / "performance"
_PATTERNS: Final = ("report.md", "*.svg")  # the raw figures name the machine and its paths


def publish(source: Path, target: Path) -> bool:
    """Replace the report in ``target``, keep its other pages; return false without a report."""
    if not (source / "report.md").exists():
        return False
    target.mkdir(parents=True, exist_ok=True)
    for stale in [target / "README.md", *target.glob("*.svg")]:
        stale.unlink(missing_ok=True)
    for path in (path for pattern in _PATTERNS for path in source.glob(pattern)):
        shutil.copy(path, target / ("README.md" if path.name == "report.md" else path.name))
    return True


def main() -> int:
    """Publish the last report; return 1 if there is none."""
    if not publish(REPORT, _TARGET):
        print("there is no report to publish; run make bench first", file=sys.stderr)
        return 1
    print(f"copied the report to {_TARGET.relative_to(ROOT)}; commit it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
