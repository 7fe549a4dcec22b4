"""Warn of environment variables that look like settings but are not, mostly misspelt ones.

The command continues, because another program may use the variables.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from rundlet_server.cli.arguments import CA_VARIABLE, CONTEXT_VARIABLE
from rundlet_server.cli.show.terminal import escaped
from rundlet_server.functions.settings import SETTINGS

_BEGINNING: Final = "RUNDLET_"
_VARIABLES: Final = frozenset(row.variable for row in SETTINGS if row.variable)
_OF_COMMANDS: Final = frozenset(
    {"RUNDLET_URL", "RUNDLET_TOKEN", CA_VARIABLE, CONTEXT_VARIABLE, "RUNDLET_TRACEBACK"}
)
_OF_TESTS: Final = frozenset({"RUNDLET_SEED", "RUNDLET_SOAK_MINUTES"})
_OF_KUBERNETES: Final = re.compile(r"RUNDLET_(SERVICE_(HOST|PORT\w*)|PORT_[0-9]+_\w+)")
"""Variables that Kubernetes sets in every container if there is a service called ``rundlet``; it
also sets ``RUNDLET_PORT``, to a URL."""


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Print one line on stderr if there are such variables."""
    unknown = [_with_similar(name) for name in _unknown(environ)]
    if unknown:
        what = (
            "an unknown environment variable"
            if len(unknown) == 1
            else "unknown environment variables"
        )
        line = f"rundlet: warning: ignored {what}: {', '.join(unknown)}"
        sys.stderr.write(f"{escaped(line)}\n")
        sys.stderr.flush()


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = _VARIABLES | _OF_COMMANDS | _OF_TESTS
    for name, value in sorted(environ.items()):
        is_of_kubernetes = _OF_KUBERNETES.fullmatch(name) or (
            name == "RUNDLET_PORT" and "://" in value
        )
        if name.startswith(_BEGINNING) and name not in known and not is_of_kubernetes:
            yield name


def _with_similar(name: str) -> str:
    """Return the name, with the most similar known name if there is one."""
    offered = {row.variable for row in SETTINGS if row.variable and row.option} | _OF_COMMANDS
    # Without the common prefix, which would make all names similar. PORT has no prefix.
    by_rest = {variable.removeprefix(_BEGINNING): variable for variable in sorted(offered)}
    close = difflib.get_close_matches(name.removeprefix(_BEGINNING), by_rest, n=1)
    return f"{name} (did you mean {by_rest[close[0]]}?)" if close else name
