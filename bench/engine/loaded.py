"""Engines that hold rows, opened once for all repeats of a question."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from bench.engines import Engine, EngineKind
from bench.workload import rows


class LoadedEngines:
    """Opens each engine when it is first needed; a context manager that closes them all."""

    def __init__(self, folder: Path, key_count: int) -> None:
        self._folder = folder
        self._key_count = key_count
        self._open: dict[str, Engine] = {}

    def get(self, kind: EngineKind) -> Engine:
        """Return an engine that holds the first keys.

        Raises:
            NotMeasurable: the engine is not installed.
        """
        if kind.name not in self._open:
            engine = kind.open(self._folder / kind.module, "never")
            engine.put_all(rows(self._key_count))
            self._open[kind.name] = engine
        return self._open[kind.name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._open.values():
            engine.close()
