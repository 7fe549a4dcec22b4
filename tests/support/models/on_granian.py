"""Serve an empty model store with Granian on a port of this machine: ``python -m ... PORT``."""

from __future__ import annotations

import sys

from rundlet_server.functions.app import create_app
from rundlet_server.functions.serving import Service, service_of
from rundlet_server.functions.waits import Waits
from rundlet_server.server.granian import server
from rundlet_server.server.listen.address import HeldPort
from rundlet_server.storage.interface import Limits
from tests.support.models.model import ModelStore

LIMITS = Limits(value_bytes_max=9_000_000)


def make_service(waits: Waits) -> Service:
    store = ModelStore(limits=LIMITS)
    return service_of(create_app(store, waits=waits), store, LIMITS)


if __name__ == "__main__":
    with HeldPort("127.0.0.1", int(sys.argv[1])) as port:
        server.run(make_service, port, workers=1, on_ready=int)
