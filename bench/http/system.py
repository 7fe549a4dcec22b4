"""A server that is compared, and what it holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.errors import NotMeasurable
from bench.http.dialects import Dialect
from bench.http.processes import Processes
from bench.workload import VALUE_SIZE


@dataclass(frozen=True, slots=True)
class Stage:
    """What a server holds when it starts.

    Attributes:
        key_count: keys, numbered from 0.
        value_size: bytes of each value.
    """

    key_count: int
    value_size: int = VALUE_SIZE


@dataclass(frozen=True, slots=True)
class System:
    """A server that may be installed.

    Attributes:
        name: as reports show it.
        dialect: it understands.
        start: starts it in a folder; gives its port.
        programs: it needs on the PATH.
    """

    name: str
    dialect: Dialect
    start: Callable[[Processes, Stage], int]
    programs: Sequence[str] = ()

    def require_programs(self) -> None:
        """Check that all is installed.

        Raises:
            NotMeasurable: something is not.
        """
        for program in self.programs:
            if shutil.which(program) is None:
                raise NotMeasurable(f"{self.name}: {program} is not installed")
