"""Put a key-value text file into SQLite in one transaction: ``... DIR FILE``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from bench.engines.sqlite_engine import open_engine
from bench.workload import read_text_file


def main() -> None:
    """Import the file that the command line names."""
    folder, file = map(Path, sys.argv[1:])
    with contextlib.closing(open_engine(folder, "always")) as engine:
        engine.put_all(read_text_file(file))


if __name__ == "__main__":
    main()
