"""A load at full speed that reads and writes, and beside it a client that times its reads.

The load comes from wrk, which leaves more processor time to the server but cannot tell the latency
of reads from that of writes. Without wrk, the generator of this project sends and times the load.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench.errors import LoadFailed
from bench.load import generator
from bench.load.answers import answer_size, body_of
from bench.load.dialects import Dialect
from bench.load.generator import Plan
from bench.load.outcome import Samples
from bench.load.script import MixScript, Request
from bench.load.wrk import first_requests, generator_name, run_wrk
from bench.workload import READS

_PROBES: Final = 4
_PROBES_PER_S: Final = 200
_ANSWER_S_MAX: Final = 10.0
_RECEIVE_BYTES: Final = 1 << 16


def figures_beside(plan: Plan, script: MixScript, folder: Path) -> dict[str, float]:
    """Put the load of a script on a server; return the rate and the latency of reads.

    Args:
        plan: its script is ignored.
        script: the shares of reads and writes; the writes are new keys.
        folder: the folder for a file of requests.

    Raises:
        LoadFailed: an answer had a status other than 2xx, or an acknowledged write is lost.
    """
    plan = dataclasses.replace(plan, script=script)
    if generator_name(plan.load_s) != "wrk":
        outcome = generator.run(plan)
        generator.read_back(plan.port, script.dialect, outcome.acknowledged)
        samples = outcome.samples.get("get", Samples())
        return _figures(len(samples.took_s) / plan.load_s, samples)
    requests = first_requests(plan)
    probe = dataclasses.replace(
        plan,
        script=dataclasses.replace(script, mix=READS),
        clients=_PROBES,
        processes=1,
        rate_per_s=_PROBES_PER_S,
    )
    whole = dataclasses.replace(plan, load_s=plan.warm_up_s + plan.load_s)  # wrk warms up nothing
    with ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(run_wrk, whole, requests, folder)
        samples = generator.run(probe).samples.get("get", Samples())
        told = loaded.result()
    _check(plan, script.dialect, requests[: int(told["sent"])])
    share = sum(request.kind == "get" for request in requests) / len(requests)
    return _figures(told["count"] / told["load_us"] * 1e6 * share, samples)


def _figures(reads_per_s: float, samples: Samples) -> dict[str, float]:
    latencies = {f"GET {name} ms": value for name, value in samples.percentiles_ms().items()}
    return {"GET/s": reads_per_s} | latencies


def _check(plan: Plan, dialect: Dialect, sent: Sequence[Request]) -> None:
    """Read back what was sent; only as many writes as there are clients may be unacknowledged."""
    writes = [request for request in sent if request.kind == "put"]
    missing = 0
    with socket.create_connection(("127.0.0.1", plan.port), timeout=_ANSWER_S_MAX) as connection:
        for write in writes:
            connection.sendall(dialect.get(write.key))
            missing += dialect.value_in(body_of(_answer(connection))) != write.value
    if missing > plan.clients:
        raise LoadFailed(f"{missing} of {len(writes)} writes are lost")


def _answer(connection: socket.socket) -> bytes:
    received = b""
    while (size := answer_size(received)) is None or len(received) < size:
        piece = connection.recv(_RECEIVE_BYTES)
        if not piece:
            raise LoadFailed("the server closed the connection")
        received += piece
    return received
