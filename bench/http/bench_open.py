"""How long does a server take after ``kill -9`` to answer again, by number of keys?

The time includes the start of the interpreter, the modules and the sockets; ``engine/open``
measures the store alone.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import pytest

from bench.engine.killed import GrownStores
from bench.errors import LoadFailed
from bench.recorder import Recorder
from bench.scale import chosen_scale
from bench.systems.catalogue import (
    GRANIAN,
    GRANIAN_OPTIONS,
    WAITRESS,
    WAITRESS_OPTIONS,
    serve_rundlet,
)
from bench.systems.processes import Processes
from bench.workload import key_of, value_of

_LAYOUTS = {WAITRESS.name: WAITRESS_OPTIONS, GRANIAN.name: GRANIAN_OPTIONS}


@pytest.mark.parametrize("key_count", chosen_scale().key_counts)
@pytest.mark.parametrize("name", _LAYOUTS)
def test_open(
    record: Recorder, grown: GrownStores, folder: Path, name: str, key_count: int
) -> None:
    store = grown.folder(key_count)
    with Processes(folder) as processes:
        serve_rundlet(_LAYOUTS[name], processes, store)
        processes.kill()

        def start() -> dict[str, float]:
            began_s = time.monotonic()
            port = serve_rundlet(_LAYOUTS[name], processes, store)
            _get_first(port)
            return {"s to first answer": time.monotonic() - began_s}

        record.figures(start, system=name, case=f"{key_count:,} keys")


def _get_first(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/v1/kv/{key_of(0)}")
    if connection.getresponse().read() != value_of(0):
        raise LoadFailed("the first key does not have its value")
    connection.close()
