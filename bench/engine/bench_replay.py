"""How long does the replay of the end of a log take after ``kill -9``, per record?

No index file holds any of the records; each is a commit of its own. Only the work of the store
counts, in a process that has loaded its modules; the files are in the page cache.
"""

from __future__ import annotations

from pathlib import Path

from bench.engine.killed import run_and_kill
from bench.engines import OURS
from bench.recorder import Recorder
from bench.scale import Scale

_RECORDS_MAX = 60_000  # a segment with more of them is sealed, and gets its index file


def test_replay(record: Recorder, folder: Path, scale: Scale) -> None:
    count = min(_RECORDS_MAX, scale.engine_keys)
    run_and_kill("append", folder / "data", count)

    record.figures(
        lambda: run_and_kill("replay", folder / "data", count),
        system=OURS.name,
        case=f"{count:,} records",
    )
