"""What do a checkpoint and a compaction cost, compared with a copy of the same bytes?"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bench.engines.rundlet_engine import RundletEngine
from bench.errors import LoadFailed, NotMeasurable
from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, rows, value_of
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

_MEGABYTE = 1_000_000
_COPY_BYTES = 1 << 20
_SEGMENT_KEYS = 65_536


@contextlib.contextmanager
def _half_replaced(folder: Path, count: int) -> Iterator[LogStore]:
    """Open a store without maintenance in which half of the first values are dead.

    It has written its index files already: their cost is the question of ``test_checkpoint``.
    """
    settings = StoreSettings(
        sync="never",
        maintain_inline=False,
        keep_for_s=0,
        keep_versions=1,
        segment_records_max=min(_SEGMENT_KEYS, count // 4),
    )
    with contextlib.closing(open_log_store(folder, settings)) as store:
        engine = RundletEngine(store)
        engine.put_all(rows(count))
        engine.put_all((key_of(number), value_of(number + 1)) for number in range(0, count, 2))
        engine.put(key_of(0), value_of(1))  # seals the segment if it is full
        store.maintainer.checkpoint()
        yield store


def test_checkpoint(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    settings = StoreSettings(
        sync="never", maintain_inline=False, segment_records_max=min(_SEGMENT_KEYS, count // 4)
    )
    with contextlib.closing(open_log_store(folder / "data", settings)) as store:
        engine = RundletEngine(store)
        engine.put_all(rows(count))
        engine.put(key_of(count), value_of(count))  # seals the segment if it is full

        def checkpoint() -> dict[str, float]:
            before = store.gauges()["unindexed_records"].value
            began_s = time.monotonic()
            store.maintainer.checkpoint()
            took_s = time.monotonic() - began_s
            indexed = before - store.gauges()["unindexed_records"].value
            if not indexed:
                raise NotMeasurable("the store had already written its index files")
            return {"s": took_s, "µs/key": took_s / indexed * 1e6}

        record.figures(checkpoint, system="rundlet, checkpoint", case=f"{count:,} keys")


def test_compaction(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    with _half_replaced(folder / "data", count) as store:

        def compact() -> dict[str, float]:
            began_s = time.monotonic()
            result = store.maintainer.compact(thorough=True)
            took_s = time.monotonic() - began_s
            if result.bytes_after >= result.bytes_before:
                raise LoadFailed("the compaction reclaimed no space")
            return _figures(result.bytes_before, took_s)

        record.figures(compact, system="rundlet, compaction", case=f"{count:,} keys")
        for number in range(count):
            entry = store.get(key_of(number))
            assert entry is not None
            assert entry.value == value_of(number if number % 2 else number + 1)


def test_copy(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    with _half_replaced(folder / "data", count):
        pass

    def copy() -> dict[str, float]:
        began_s = time.monotonic()
        logs = list((folder / "data").glob("*.log"))
        size = sum(_copy(path, path.with_suffix(".copy")) for path in logs)
        return _figures(size, time.monotonic() - began_s)

    record.figures(copy, system="cp, synced", case=f"{count:,} keys")


def _copy(source: Path, target: Path) -> int:
    """Copy as ``cp`` does, and sync; return the size in bytes."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_COPY_BYTES):
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
        return writer.tell()


def _figures(size: int, took_s: float) -> dict[str, float]:
    return {"s": took_s, "MB/s": size / took_s / _MEGABYTE}
