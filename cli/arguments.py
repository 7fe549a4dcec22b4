"""Options that may stand anywhere on the command line, moved to where their command reads them."""

from __future__ import annotations

CA_VARIABLE = "RUNDLET_CA_FILE"
CA_OPTION = "--ca-file"

_WITH_VALUE = frozenset({"--url", "--data", "--store", "--token"})
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
