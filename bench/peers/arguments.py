"""The command line of the small servers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PeerArguments:
    """The arguments of a small server.

    Attributes:
        port: the port to listen on.
        rows: the key-value text file that it holds from the start.
        folder: the folder for its own files.
        server: the HTTP server, if there is a choice.
        workers: the number of processes.
        threads: the number of threads in each process; by default as many as waitress has.
        database: the address of the database behind the server, if there is one.
    """

    port: int
    rows: Path
    folder: Path
    server: str
    workers: int
    threads: int
    database: str


def parse_arguments() -> PeerArguments:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--server", choices=("waitress", "uvicorn", "granian"), default="waitress")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--database", default="")
    return PeerArguments(**vars(parser.parse_args()))
