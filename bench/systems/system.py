"""The description of a server to compare, and of the data it holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.errors import NotMeasurable
from bench.load.dialects import Dialect
from bench.systems.processes import Processes
from bench.workload import VALUE_SIZE


@dataclass(frozen=True, slots=True)
class Stage:
    """The data that a server holds when it starts.

    Attributes:
        key_count: the number of keys, which are numbered from 0.
        value_size: the size of each value, in bytes.
    """

    key_count: int
    value_size: int = VALUE_SIZE


@dataclass(frozen=True, slots=True)
class System:
    """A server that may be installed.

    Attributes:
        name: as reports show it.
        dialect: makes the requests that the server understands.
        start: starts the server in a folder, and returns its port.
        programs: the programs that it needs on the PATH.
        scheme: ``https`` for a server with TLS, to which only wrk sends requests.
    """

    name: str
    dialect: Dialect
    start: Callable[[Processes, Stage], int]
    programs: Sequence[str] = ()
    scheme: str = "http"

    def require_programs(self) -> None:
        """Check that all programs are installed.

        Raises:
            NotMeasurable: a program is not installed.
        """
        for program in self.programs:
            if shutil.which(program) is None:
                raise NotMeasurable(f"{self.name}: {program} is not installed")
