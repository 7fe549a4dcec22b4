"""``python -m rundlet_server``: the command ``rundlet``."""

from __future__ import annotations

from rundlet_server.cli.start import main

if __name__ == "__main__":
    main()
