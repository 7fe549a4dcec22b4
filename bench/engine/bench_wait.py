"""How long after a commit of another process does a waiting thread run, compared with a pipe?"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.recorder import Figures, Recorder
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

_COMMITS = 300
_PAUSE_S = 0.004
_SETTINGS = StoreSettings(sync="never", maintain_inline=False)


def test_wait(record: Recorder, folder: Path) -> None:
    with contextlib.closing(open_log_store(folder / "data", _SETTINGS)) as store:

        def delays_ms() -> Iterator[float]:
            head = store.stats().revision
            with _other("commit", str(folder / "data")) as process:
                while process.poll() is None:
                    found = store.wait(head, 1)
                    woken_ns = time.monotonic_ns()
                    if found > head:
                        head = found
                        entry = store.get("sent")
                        assert entry is not None
                        yield (woken_ns - int(entry.value)) / 1e6

        record.figures(lambda: _figures(delays_ms()), system="rundlet")


def test_pipe(record: Recorder) -> None:
    def delays_ms() -> Iterator[float]:
        with _other("pipe") as process:
            assert process.stdout is not None
            while line := os.read(process.stdout.fileno(), 1_000):
                yield (time.monotonic_ns() - int(line.splitlines()[-1])) / 1e6

    record.figures(lambda: _figures(delays_ms()), system="pipe")


def _other(work: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.engine.bench_wait", work, *arguments], stdout=subprocess.PIPE
    )


def _figures(delays_ms: Iterator[float]) -> Figures:
    found = sorted(delays_ms)
    assert len(found) > _COMMITS // 2
    return {"p50 ms": found[len(found) // 2], "p99 ms": found[len(found) * 99 // 100]}


def _commit(folder: Path) -> None:
    with contextlib.closing(open_log_store(folder, _SETTINGS)) as store:
        for _ in range(_COMMITS):
            time.sleep(_PAUSE_S)
            store.commit(Txn([Put("sent", b"%d" % time.monotonic_ns())]))


def _send() -> None:
    for _ in range(_COMMITS):
        time.sleep(_PAUSE_S)
        os.write(1, b"%d\n" % time.monotonic_ns())


if __name__ == "__main__":
    if sys.argv[1] == "commit":
        _commit(Path(sys.argv[2]))
    else:
        _send()
