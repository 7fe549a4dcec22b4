"""The running servers of one question, and the loads on them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.errors import LoadFailed, NotMeasurable
from bench.load import generator, wrk
from bench.load.generator import Plan
from bench.load.outcome import Outcome
from bench.load.script import MixScript, Script
from bench.scale import CORES, Scale
from bench.systems.processes import Processes
from bench.systems.system import Stage, System
from bench.workload import READS, Mix

CLIENTS: Final = 16
"""The number of connections, except in questions about that number."""
_NEW_KEYS: Final = 1 << 32
_CLIENTS_A_PROCESS: Final = 4


@dataclass(slots=True)
class Server:
    """A running server.

    Attributes:
        system: the system that it belongs to.
        stage: the data that it held at the start.
        port: the port on which it answers.
        processes: its processes.
        scale: the sizes of the run.
        loads: the number of loads so far; each writes new keys of its own.
    """

    system: System
    stage: Stage
    port: int
    processes: Processes
    scale: Scale
    loads: int = 0

    def read(self, mix: Mix, clients: int = CLIENTS) -> dict[str, float]:
        """Return the figures of a load that only reads, from the cheapest load generator."""
        return wrk.read_figures(self.plan(self.script(mix), clients), self.processes.folder)

    def mix(self, mix: Mix, clients: int = CLIENTS) -> dict[str, float]:
        """Return the figures of a load that may write; read back every acknowledged write."""
        outcome = self.run(self.plan(self.script(mix), clients))
        return wrk.figures_of(outcome)

    def run(self, plan: Plan) -> Outcome:
        """Put a load on the server; read back every acknowledged write.

        Raises:
            LoadFailed: an answer had a status other than 2xx, or an acknowledged write is lost.
        """
        outcome = generator.run(plan)
        generator.read_back(self.port, self.system.dialect, outcome.acknowledged)
        return outcome

    def plan(
        self,
        script: Script,
        clients: int = CLIENTS,
        *,
        rate_per_s: float | None = None,
        load_s: float | None = None,
    ) -> Plan:
        """Plan a load, of the usual length unless ``load_s`` says otherwise."""
        return Plan(
            port=self.port,
            script=script,
            clients=clients,
            load_s=load_s or self.scale.load_s,
            warm_up_s=self.scale.warm_up_s,
            processes=max(1, min(CORES // 2, clients // _CLIENTS_A_PROCESS)),
            rate_per_s=rate_per_s,
            scheme=self.system.scheme,
        )

    def script(self, mix: Mix) -> MixScript:
        """Make the requests of a load; every call inserts other new keys."""
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
        """The number of the first new key of this load."""
        return self.loads * _NEW_KEYS


class Servers:
    """Starts each system once for each stage; a context manager that ends them all."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self._folder = folder
        self._scale = scale
        self._running: dict[tuple[str, Stage], Server | str] = {}

    def get(self, system: System, stage: Stage | None = None) -> Server:
        """Return the server of a system that holds the data of a stage.

        Raises:
            NotMeasurable: it is not installed or does not start; later calls do not try again.
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
        """Start the server; return it, or the reason why it does not run."""
        processes = Processes(Path(tempfile.mkdtemp(dir=self._folder)))
        try:
            system.require_programs()
            port = system.start(processes, stage)
            server = Server(system, stage, port, processes, self._scale)
            if system.scheme == "http":
                generator.run(Plan(port, server.script(READS), CLIENTS, self._scale.warm_up_s))
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
