"""The entry point of the command ``rundlet``; ``--version`` needs no further imports."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        from rundlet.version import __version__  # noqa: PLC0415 - as below

        try:
            print(f"rundlet {__version__}", flush=True)
        except OSError:
            pass  # the code below reports it, as for every command
        else:
            return
    from rundlet_server.cli.process import run  # noqa: PLC0415 - as below

    run(_command)


def _command() -> None:
    from rundlet_server.cli.main import app  # noqa: PLC0415 - takes as long as all other modules

    app(prog_name="rundlet")
