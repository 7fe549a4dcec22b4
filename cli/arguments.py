"""Options that all commands share: what they are, and moving them to where they are read."""

from __future__ import annotations

from typing import Final

CA_VARIABLE = "RUNDLET_CA_FILE"
CA_OPTION = "--ca-file"
CA_HELP: Final = f"Authority of an https server, PEM [{CA_VARIABLE}]."

URL_HELP: Final = "A server [RUNDLET_URL; default http://127.0.0.1:8000]."
DATA_HELP: Final = "A store's folder, also a served one [RUNDLET_DATA]."
STORE_HELP: Final = "A store: a folder or file:PATH [RUNDLET_STORE]."
TOKEN_HELP: Final = "The token that the server asks for [RUNDLET_TOKEN]."  # noqa: S105 - help
PLACE_OPTIONS: Final = (
    ("--url URL", URL_HELP),
    ("--data DIR", DATA_HELP),
    ("--token TOKEN", TOKEN_HELP),
)
"""Where the data mostly is, with the help of each option, for the help of ``rundlet``."""

_WITH_VALUE = frozenset({"--store", *(option.split()[0] for option, _ in PLACE_OPTIONS)})
_WITHOUT_VALUE = frozenset({"--json"})


def without_ca_file(arguments: list[str]) -> tuple[list[str], list[str]]:
    """``--ca-file`` with its value, wherever it stands, and the arguments without it.

    It is an option before all commands, and no command's own.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for position, argument in enumerate(arguments[:end]):
        if argument.partition("=")[0] == CA_OPTION:
            size = 1 if "=" in argument else 2
            option = arguments[position : position + size]
            return option, arguments[:position] + arguments[position + size :]
    return [], arguments


def asks_for_json(arguments: list[str]) -> bool:
    """Whether the caller is a machine that reads errors as JSON, too."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:end]


def moved_behind_command(arguments: list[str]) -> list[str]:
    """The arguments with place options that stand before the command moved behind it.

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
    size = 2 if command == ["token"] else 1  # its commands have two words
    command = arguments[position : position + size]
    return command + arguments[:position] + arguments[position + size :]
