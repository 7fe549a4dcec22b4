"""The sizes of a run: ``tiny`` and ``small`` show that it works, the others give figures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "BENCH_SCALE"
CORES: Final = (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of one run.

    Attributes:
        name: of the scale.
        repeats: how often each question measures each system; the systems take turns.
        engine_keys: the number of keys in an embedded store.
        engine_operations: the number of operations in one measured round.
        import_rows: the number of lines in the imported file.
        http_keys: the number of keys in a server.
        load_s: the length of one measured load, in seconds.
        warm_up_s: the length of the load before that, which is not counted.
        key_counts: the numbers of keys for questions about cost by number of keys; the targets
            compare the first with the last.
        run_s_max: a question that has not started after so many seconds is skipped, so that a run
            ends.
        gives_figures: whether its figures are meaningful.
    """

    name: str
    repeats: int
    engine_keys: int
    engine_operations: int
    import_rows: int
    http_keys: int
    load_s: float
    warm_up_s: float
    key_counts: tuple[int, ...]
    run_s_max: float
    gives_figures: bool = False


SCALES: Final = {
    scale.name: scale
    for scale in (
        Scale(
            name="tiny",  # for the tests, which check only that it runs
            repeats=1,
            engine_keys=200,
            engine_operations=50,
            import_rows=200,
            http_keys=200,
            load_s=0.1,
            warm_up_s=0.02,
            key_counts=(200, 400),
            run_s_max=120,
        ),
        Scale(
            name="small",
            repeats=1,
            engine_keys=5_000,
            engine_operations=1_000,
            import_rows=20_000,
            http_keys=1_000,
            load_s=0.3,
            warm_up_s=0.1,
            key_counts=(1_000, 10_000),
            run_s_max=600,
        ),
        Scale(
            name="medium",  # figures in less than 25 minutes, on a machine that does nothing else
            repeats=2,
            engine_keys=100_000,
            engine_operations=10_000,
            import_rows=500_000,
            http_keys=50_000,
            load_s=1.0,
            warm_up_s=0.3,
            key_counts=(10_000, 100_000, 1_000_000),
            run_s_max=1_440,
            gives_figures=True,
        ),
        Scale(
            name="full",  # within an hour
            repeats=3,
            engine_keys=200_000,
            engine_operations=10_000,
            import_rows=1_000_000,
            http_keys=100_000,
            load_s=2.0,
            warm_up_s=0.4,
            key_counts=(10_000, 100_000, 1_000_000, 10_000_000),
            run_s_max=5_400,
            gives_figures=True,
        ),
    )
}


def chosen_scale() -> Scale:
    """Return the scale that ``BENCH_SCALE`` names; ``full`` if it is not set.

    Raises:
        SystemExit: there is no such scale.
    """
    name = os.environ.get(VARIABLE, "full")
    if name not in SCALES:
        raise SystemExit(f"{VARIABLE}={name!r} is not a scale; choose one of {', '.join(SCALES)}")
    return SCALES[name]
