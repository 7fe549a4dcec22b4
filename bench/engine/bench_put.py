"""How long does it take to put one value, by sync policy?

The other engines use an equal policy: ``never`` lets the system decide when to write, ``always``
syncs before the put returns. Only Rundlet has ``interval``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engines import ENGINES, EngineKind, Policy
from bench.engines.checked import puts_that_are_read_back
from bench.recorder import Recorder
from bench.scale import Scale

_DURABLE_SHARE = 20  # a synced put takes much longer, so fewer of them are enough
_CASES = [
    pytest.param(policy, kind, id=f"{policy}-{kind.name}")
    for policy in ("never", "interval", "always")
    for kind in ENGINES
    if policy in kind.policies
]


@pytest.mark.parametrize(("policy", "kind"), _CASES)
def test_put(
    record: Recorder, folder: Path, scale: Scale, policy: Policy, kind: EngineKind
) -> None:
    count = scale.engine_operations
    if policy == "always":
        count = max(20, count // _DURABLE_SHARE)
    with puts_that_are_read_back(kind.open(folder / "data", policy)) as puts:
        record.operations(
            puts.one_by_one,
            prepare=lambda: puts.prepare(count),
            count=count,
            system=kind.name,
            case=f"sync={policy}",
        )
