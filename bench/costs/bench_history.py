"""What does the history of keys cost: writes by 64 clients, and the space that stays in use?

Without history, ``--keep-for 0 --keep-versions 1``, a compaction drops every replaced value.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import pytest

from bench.costs.turns import in_turns, pairs
from bench.engines.rundlet_engine import RundletEngine
from bench.recorder import Recorder
from bench.scale import Scale
from bench.systems.running import Servers
from bench.workload import Mix, rows
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

REPEATS_MAX = 1
_CLIENTS: Final = 64
_UPDATES: Final = Mix("updates", update=1.0, choice="uniform")
_PAIRS: Final = pairs("no history", "--keep-for", "0", "--keep-versions", "1")
_VERSIONS: Final = 4


@pytest.mark.parametrize("name", _PAIRS)
def test_history(record: Recorder, servers: Servers, name: str) -> None:
    without, with_it = (servers.get(system) for system in _PAIRS[name])

    record.figures(
        lambda: in_turns(
            lambda: with_it.mix(_UPDATES, _CLIENTS)["requests/s"],
            lambda: without.mix(_UPDATES, _CLIENTS)["requests/s"],
        ),
        system=name,
        case="durable PUT",
    )


def test_space(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    kept = StoreSettings(sync="never", maintain_inline=False, segment_records_max=count // 4)
    dropped = StoreSettings(
        sync="never",
        maintain_inline=False,
        segment_records_max=count // 4,
        keep_for_s=0,
        keep_versions=1,
    )

    def ask() -> dict[str, float]:
        with_it, without = (
            _bytes_after(folder / name, settings, count)
            for name, settings in (("kept", kept), ("dropped", dropped))
        )
        return {
            "ratio": with_it / without,
            "log B/key with": with_it / count,
            "log B/key without": without / count,
        }

    record.figures(ask, system="rundlet", case=f"space of {_VERSIONS} versions")


def _bytes_after(folder: Path, settings: StoreSettings, count: int) -> float:
    """Return the size of the log of keys with a few versions each, after a compaction."""
    with contextlib.closing(open_log_store(folder, settings)) as store:
        for _ in range(_VERSIONS):
            RundletEngine(store).put_all(rows(count))
        store.maintainer.compact(thorough=True)
        return store.gauges()["log_bytes"].value
