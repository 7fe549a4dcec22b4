"""Use the load generator wrk if it is installed: it leaves more processor time to the server."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Final

from bench.errors import LoadFailed
from bench.load import generator
from bench.load.generator import Plan
from bench.load.outcome import PERCENTILES, Outcome, Samples

VARIABLE: Final = "BENCH_LOAD"
"""The value ``python`` chooses the generator of this project even if wrk is installed."""

_LUA: Final = Path(__file__).with_name("wrk.lua")
_REQUESTS: Final = 20_000


def generator_name(load_s: float) -> str:
    """Return the generator for reads: ``wrk``, or ``python`` for loads of less than a second."""
    is_wanted = os.environ.get(VARIABLE) != "python" and load_s >= 1
    return "wrk" if is_wanted and shutil.which("wrk") else "python"


def read_figures(plan: Plan, folder: Path) -> dict[str, float]:
    """Return the throughput and the latencies of a load that only reads.

    ``load`` always sends the writes, because it records each acknowledged one.

    Args:
        plan: what to send.
        folder: the folder for a file of requests.

    Raises:
        LoadFailed: an answer had a status other than 2xx.
    """
    if generator_name(plan.load_s) == "wrk":
        return _wrk_figures(plan, folder)
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
    path = folder / "requests"
    path.write_bytes(b"\0".join(_first_requests(plan)))
    seconds = math.ceil(plan.load_s)
    threads = min(plan.processes, plan.clients)
    options = ["wrk", "-t", str(threads), "-c", str(plan.clients), "-d", f"{seconds}s"]
    url = f"http://127.0.0.1:{plan.port}/"
    answer = subprocess.run(
        [*options, "--timeout", "10s", "-s", str(_LUA), url, "--", str(path)],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    if answer.returncode:
        raise LoadFailed(f"wrk: {answer.stderr.strip() or answer.stdout.strip()}")
    told = json.loads(answer.stdout.splitlines()[-1])
    if told["failed"] or not told["count"]:
        raise LoadFailed(f"wrk: {told['failed']} of {told['count']} requests failed")
    latencies = {f"{name} ms": told[name] for name in PERCENTILES}
    return {"requests/s": told["count"] / told["load_us"] * 1e6} | latencies


def _first_requests(plan: Plan) -> list[bytes]:
    return [request.data for request in islice(plan.script.requests(0, 1), _REQUESTS)]
