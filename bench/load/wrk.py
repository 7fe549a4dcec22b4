"""Use the load generator wrk if it is installed: it leaves more processor time to the server."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from bench.errors import LoadFailed, NotMeasurable
from bench.load import generator
from bench.load.generator import Plan
from bench.load.outcome import PERCENTILES, Outcome, Samples
from bench.load.script import Request

VARIABLE: Final = "BENCH_LOAD"
"""The value ``python`` chooses the generator of this project even if wrk is installed."""

_LUA: Final = Path(__file__).with_name("wrk.lua")
_REQUESTS: Final = 20_000
_FILE_BYTES: Final = 8 * 1024 * 1024


def generator_name(load_s: float) -> str:
    """Return the generator for reads: ``wrk``, or ``python`` for loads of less than a second."""
    is_wanted = os.environ.get(VARIABLE) != "python" and load_s >= 1
    return "wrk" if is_wanted and shutil.which("wrk") else "python"


def read_figures(plan: Plan, folder: Path) -> dict[str, float]:
    """Return the throughput and the latencies of a load that only reads.

    ``generator`` always sends the writes, because it records each acknowledged write.

    Args:
        plan: what to send.
        folder: the folder for a file of requests.

    Raises:
        LoadFailed: an answer had a status other than 2xx.
    """
    if generator_name(plan.load_s) == "wrk":
        return _wrk_figures(plan, folder)
    if plan.scheme != "http":
        raise NotMeasurable(
            "only wrk sends requests over TLS; it is not installed, or the load is short"
        )
    outcome = generator.run(plan)
    return figures_of(outcome)


def figures_of(outcome: Outcome) -> dict[str, float]:
    """Return the throughput and the latency percentiles of all kinds of requests together.

    Raises:
        LoadFailed: the server gave no answer during the counted load.
    """
    if not outcome.count:
        raise LoadFailed(f"the server gave no answer within {outcome.load_s} s")
    together = Samples()
    for samples in outcome.samples.values():
        together.began_s.extend(samples.began_s)
        together.took_s.extend(samples.took_s)
    latencies = {f"{name} ms": value for name, value in together.percentiles_ms().items()}
    return {"requests/s": outcome.requests_per_s} | latencies


def _wrk_figures(plan: Plan, folder: Path) -> dict[str, float]:
    told = run_wrk(plan, first_requests(plan), folder)
    latencies = {f"{name} ms": told[name] for name in PERCENTILES}
    return {"requests/s": told["count"] / told["load_us"] * 1e6} | latencies


def run_wrk(plan: Plan, requests: Sequence[Request], folder: Path) -> dict[str, float]:
    """Send requests in order, again and again, on all connections of a plan.

    Returns:
        What wrk reports: the number of answers as ``count``, the length as ``load_us``, latencies
        in milliseconds by percentile, and as ``sent`` how many requests each of its threads sent at
        least.

    Raises:
        LoadFailed: an answer had a status other than 2xx.
    """
    path = folder / "requests"
    sizes = b" ".join(b"%d" % len(request.data) for request in requests)
    path.write_bytes(sizes + b"\n" + b"".join(request.data for request in requests))
    seconds = math.ceil(plan.load_s)
    threads = min(plan.processes, plan.clients)
    options = ["wrk", "-t", str(threads), "-c", str(plan.clients), "-d", f"{seconds}s"]
    url = f"{plan.scheme}://127.0.0.1:{plan.port}/"
    answer = subprocess.run(
        [*options, "--timeout", "10s", "-s", str(_LUA), url, "--", str(path)],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    if answer.returncode:
        raise LoadFailed(f"wrk: {answer.stderr.strip() or answer.stdout.strip()}")
    told: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    if told["failed"] or not told["count"]:
        raise LoadFailed(f"wrk: {told['failed']:.0f} of {told['count']:.0f} requests failed")
    return told


def first_requests(plan: Plan) -> list[Request]:
    """Make the first requests of one client, as many as fit into a file of some size."""
    found: list[Request] = []
    size = 0
    for request in islice(plan.script.requests(0, 1), _REQUESTS):
        found.append(request)
        size += len(request.data)
        if size > _FILE_BYTES:
            break
    return found
