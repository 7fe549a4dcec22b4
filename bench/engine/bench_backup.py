"""What does a backup cost, compared with a copy of the same bytes, and what does the next one?"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bench.engines.rundlet_engine import RundletEngine
from bench.errors import LoadFailed
from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, rows, value_of
from rundlet_server.storage.backing import BackupTaker, DirectoryPlace, Taken, leased
from rundlet_server.storage.care import Restore, choose
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

_MEGABYTE = 1_000_000
_COPY_BYTES = 1 << 20
_LEASE_S = 600.0
_NEW_KEYS = 1_000


@contextlib.contextmanager
def _filled(folder: Path, count: int) -> Iterator[LogStore]:
    """Open a store in whose directory a first backup has been taken: its hashes are known."""
    settings = StoreSettings(sync="never", maintain_inline=False)
    with contextlib.closing(open_log_store(folder / "data", settings)) as store:
        RundletEngine(store).put_all(rows(count))
        _back_up(store, folder / "first")
        yield store


def _back_up(store: LogStore, backups: Path) -> Taken:
    with leased(store.backups, _LEASE_S) as source, DirectoryPlace(backups) as place:
        return BackupTaker(place).take(source)


def test_full(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    with _filled(folder, count) as store:

        def full() -> dict[str, float]:
            shutil.rmtree(folder / "backups", ignore_errors=True)
            began_s = time.monotonic()
            taken = _back_up(store, folder / "backups")
            return _figures(taken.bytes_fetched, time.monotonic() - began_s)

        record.figures(full, system="rundlet, backup", case=f"{count:,} keys")


def test_incremental(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    with _filled(folder, count) as store:
        engine = RundletEngine(store)

        def incremental() -> dict[str, float]:
            engine.put_all((key_of(number), value_of(number + 1)) for number in range(_NEW_KEYS))
            began_s = time.monotonic()
            taken = _back_up(store, folder / "first")
            took_s = time.monotonic() - began_s
            if not 0 < taken.bytes_fetched < taken.bytes_total / 2:
                raise LoadFailed("the second backup is not incremental")
            return _figures(taken.bytes_fetched, took_s)

        case = f"{_NEW_KEYS:,} new of {count:,} keys"
        record.figures(incremental, system="rundlet, next backup", case=case)


def test_restore(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    with _filled(folder, count):
        pass
    place = DirectoryPlace(folder / "first")

    def restore() -> dict[str, float]:
        shutil.rmtree(folder / "new", ignore_errors=True)
        began_s = time.monotonic()
        Restore(place, choose(place), folder / "new").run()
        return _figures(sum(place.sizes().values()), time.monotonic() - began_s)

    record.figures(restore, system="rundlet, restore", case=f"{count:,} keys")


def test_copy(record: Recorder, folder: Path, scale: Scale) -> None:
    count = scale.engine_keys
    with _filled(folder, count):
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
