"""Running servers of one question, and the loads that are put on them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.errors import LoadFailed, NotMeasurable
from bench.http import load, wrk
from bench.http.load import Plan
from bench.http.outcome import Outcome
from bench.http.processes import Processes
from bench.http.script import MixScript, Script
from bench.http.system import Stage, System
from bench.scale import CORES, Scale
from bench.workload import READS, Mix

CLIENTS: Final = 16
"""Connections where the question is not about their number."""
_NEW_KEYS: Final = 1 << 32
_CLIENTS_A_PROCESS: Final = 4


@dataclass(slots=True)
class Server:
    """A server that runs.

    Attributes:
        system: what it is.
        stage: what it held at the start.
        port: it answers on.
        processes: of it.
        scale: of the run.
        loads: put on it so far; each writes new keys of its own.
    """

    system: System
    stage: Stage
    port: int
    processes: Processes
    scale: Scale
    loads: int = 0

    def read(self, mix: Mix, clients: int = CLIENTS) -> dict[str, float]:
        """Figures of a load that only reads, with as little load generator as there is."""
        return wrk.read_figures(self.plan(self.script(mix), clients), self.processes.folder)

    def mix(self, mix: Mix, clients: int = CLIENTS) -> dict[str, float]:
        """Figures of a load that may write; what was acknowledged is read back."""
        outcome = self.run(self.plan(self.script(mix), clients))
        return wrk.figures_of(outcome)

    def run(self, plan: Plan) -> Outcome:
        """Put a load on it; what was acknowledged is read back.

        Raises:
            LoadFailed: an answer was no success, or a write is not there.
        """
        outcome = load.run(plan)
        load.read_back(self.port, self.system.dialect, outcome.acknowledged)
        return outcome

    def plan(
        self,
        script: Script,
        clients: int = CLIENTS,
        *,
        rate_per_s: float | None = None,
        load_s: float | None = None,
    ) -> Plan:
        """A load of the usual length."""
        return Plan(
            port=self.port,
            script=script,
            clients=clients,
            load_s=load_s or self.scale.load_s,
            warm_up_s=self.scale.warm_up_s,
            processes=max(1, min(CORES // 2, clients // _CLIENTS_A_PROCESS)),
            rate_per_s=rate_per_s,
        )

    def script(self, mix: Mix) -> MixScript:
        """Requests for its keys; every call writes other new keys."""
        self.loads += 1
        return MixScript(
            self.system.dialect,
            mix,
            self.stage.key_count,
            self.new_keys_from,
            self.stage.value_size,
        )

    @property
    def new_keys_from(self) -> int:
        """Number of the first key that is new to this load."""
        return self.loads * _NEW_KEYS


class Servers:
    """Starts each system once for a stage; leaving it as a context manager ends all."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self._folder = folder
        self._scale = scale
        self._running: dict[tuple[str, Stage], Server | str] = {}

    def get(self, system: System, stage: Stage | None = None) -> Server:
        """The server of a system that holds a stage.

        Raises:
            NotMeasurable: it is not installed or does not start; the second time, too.
        """
        stage = stage or Stage(self._scale.http_keys)
        name = (system.name, stage)
        if name not in self._running:
            self._running[name] = self._started(system, stage)
        server = self._running[name]
        if isinstance(server, str):
            raise NotMeasurable(server)
        return server

    def _started(self, system: System, stage: Stage) -> Server | str:
        """The server, or why there is none."""
        processes = Processes(Path(tempfile.mkdtemp(dir=self._folder)))
        try:
            system.require_programs()
            port = system.start(processes, stage)
            server = Server(system, stage, port, processes, self._scale)
            load.run(Plan(port, server.script(READS), CLIENTS, self._scale.warm_up_s))
        except (NotMeasurable, LoadFailed, OSError) as ex:
            processes.stop()
            return str(ex)
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._running.values():
            if isinstance(server, Server):
                server.processes.stop()
