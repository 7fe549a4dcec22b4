"""``python -m rundlet``: the command, which is part of the server's distribution."""

from __future__ import annotations

import importlib.util
import runpy
import sys

if __name__ == "__main__":
    if importlib.util.find_spec("rundlet_server") is None:
        sys.exit("rundlet: this is the client only; for the command: pip install rundlet")
    runpy.run_module("rundlet_server", run_name="__main__", alter_sys=True)
