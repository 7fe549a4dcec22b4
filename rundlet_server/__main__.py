"""``python -m rundlet_server``: the command ``rundlet``."""

from __future__ import annotations

from rundlet_server.cli.main import app

if __name__ == "__main__":
    app(prog_name="rundlet")
