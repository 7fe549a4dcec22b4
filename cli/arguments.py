"""The options that all commands share, and functions that move them to where they are parsed."""

from __future__ import annotations

from itertools import chain, islice, pairwise
from typing import Final

CA_VARIABLE = "RUNDLET_CA_FILE"
CA_OPTION = "--ca-file"
CA_HELP: Final = f"Authority of an https server, PEM [{CA_VARIABLE}]."
CONTEXT_VARIABLE = "RUNDLET_CONTEXT"
CONTEXT_OPTIONS: Final = ("-c", "--context")
CONTEXT_HELP: Final = f"A place by name, see rundlet context [{CONTEXT_VARIABLE}]."

URL_HELP: Final = "A server [RUNDLET_URL; default http://127.0.0.1:8000]."
DATA_HELP: Final = "A store's folder, also a served one [RUNDLET_DATA]."
STORE_HELP: Final = "A store: a folder or file:PATH [RUNDLET_STORE]."
TOKEN_HELP: Final = "The token that the server asks for [RUNDLET_TOKEN]."  # noqa: S105 - help
PLACE_OPTIONS: Final = (
    ("--url URL", URL_HELP),
    ("--data DIR", DATA_HELP),
    ("--token TOKEN", TOKEN_HELP),
)
"""The most common options for the place of the data, each with its help text."""

PLACE_VARIABLES: Final = ("RUNDLET_URL", "RUNDLET_DATA", "RUNDLET_STORE", "RUNDLET_TOKEN")

_WITH_VALUE = frozenset({"--store", *(option.split()[0] for option, _ in PLACE_OPTIONS)})
_WITHOUT_VALUE = frozenset({"--json"})
_GENERAL = frozenset({CA_OPTION, *CONTEXT_OPTIONS})
_ENDS = frozenset({"--", "--exec"})  # arguments after these belong to other programs
_JSON_FORMATS = frozenset({"--format=json", "--format=jsonl"})
_WITH_FORMAT_OF_FILE = (["import"], ["export"])
_OF_TWO_WORDS = frozenset({"token", "context"})


def general_first(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split off ``--ca-file`` and ``-c`` with their values; return them and the other arguments.

    They are options before the command, not of a command, but may come anywhere.
    """
    first: list[str] = []
    others: list[str] = []
    coming = iter(arguments)
    for argument in coming:
        name, equals, _ = argument.partition("=")
        if argument in _ENDS:
            others.append(argument)
            break
        if name not in _GENERAL or (equals and not name.startswith("--")):
            others.append(argument)
        else:
            first += [argument] if equals else [argument, *islice(coming, 1)]
    return first, [*others, *coming]


def asks_for_json(arguments: list[str]) -> bool:
    """Return whether errors must be JSON, too; the first argument is the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = arguments[:end]
    if "--json" in own:
        return True
    if own[:1] in _WITH_FORMAT_OF_FILE:
        return False
    joined = ("=".join(pair) for pair in pairwise(own))
    return not _JSON_FORMATS.isdisjoint(chain(own, joined))


def moved_behind_command(arguments: list[str]) -> list[str]:
    """Move the place options that come before the command behind it.

    ``rundlet --url URL get k`` means the same as ``rundlet get --url URL k``.
    """
    position = 0
    while position < len(arguments):
        name = arguments[position].partition("=")[0]
        if name in _WITH_VALUE and name == arguments[position]:
            position += 2
        elif name in _WITH_VALUE or name in _WITHOUT_VALUE:
            position += 1
        else:
            break
    command = arguments[position : position + 1]
    if not command or command[0].startswith("-"):
        return arguments
    size = 2 if command[0] in _OF_TWO_WORDS else 1
    command = arguments[position : position + size]
    return command + arguments[:position] + arguments[position + size :]
