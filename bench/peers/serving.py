"""Serve a FastAPI application with uvicorn or Granian, each as it is installed."""

from __future__ import annotations

import uvicorn
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from bench.peers.arguments import PeerArguments


def serve_asgi(module: str, arguments: PeerArguments) -> None:
    """Serve ``create_app`` of a module of ``bench.peers`` until a signal ends it."""
    factory = f"bench.peers.{module}:create_app"
    if arguments.server == "granian":
        Granian(
            factory,
            factory=True,
            port=arguments.port,
            interface=Interfaces.ASGI,
            workers=arguments.workers,
            log_level=LogLevels.error,
        ).serve()
    else:
        uvicorn.run(
            factory,
            factory=True,
            port=arguments.port,
            workers=arguments.workers,
            log_level="error",
            access_log=False,
        )
