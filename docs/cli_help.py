"""Writes ``docs/cli.md`` and the man page from the help texts: ``python docs/cli_help.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import fill
from typing import Final, Literal, get_args, get_origin

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from docs.man_page import MAN_PATH, man_page
from rundlet_server.cli.group import loaded
from rundlet_server.cli.main import app
from rundlet_server.cli.table import panels

PAGE_PATH: Final = Path(__file__).parent / "cli.md"
_PLACE: Final = "Where the data is"
_WIDTH: Final = 100
_EXAMPLE: Final = "Example: "

_INTRODUCTION: Final = """\
# The command line

Every command, with its options, an example and its exit codes. `rundlet COMMAND --help` shows the
same in a terminal, and `man rundlet` shows this page where the `bin` folder of the installation is
on the `PATH`. `python -m rundlet` is the same as `rundlet`. The [guide](guide.md) shows the
commands at work.

`python docs/cli_help.py` writes this page from the help texts; a test fails when it is out of date.

| commands | |
|---|---|
{index}

## Where the data is

Every command on data works on a server or on a store that it opens itself:

| option | variable | meaning |
|---|---|---|
| `--url URL` | `RUNDLET_URL` | a server; default `http://127.0.0.1:8000` |
| `--data DIR` | `RUNDLET_DATA` | the folder of a store, also while a server runs on it |
| `--store ADDRESS` | `RUNDLET_STORE` | a folder, `file:words.txt`, `etcd://HOSTS/NAME` or \
`postgresql://USER@HOST/DATABASE` |
| `--token TOKEN` | `RUNDLET_TOKEN` | the token to send to the server |
| `-c NAME` | `RUNDLET_CONTEXT` | a place with a name, see [rundlet context](#rundlet-context) |

These options may stand before or after the command. An option wins over a variable, a variable over
the context that `rundlet context use` chose.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | not found: no such key, a revision that is no longer kept, data that a repair could not keep |
| 2 | usage: a wrong option, argument or file |
| 3 | a condition failed; nothing was changed |
| 4 | server or network: not reachable, refused, out of space |
| 5 | damaged data |
| 6 | not allowed: the token is missing, unknown, expired, or not for this (401, 403) |

Every command can end with 0, 2, 4, 5 and 6. A command below names a code if it means something
special there. An error is one line on stderr that says what to do; with `--json` it is an object:
`{{"error": "no value for 'k'", "exit_code": 1}}`. As for any program, a shell reports 130 after
Ctrl-C, and 141 if the reader of a pipe has gone, as in `rundlet ls | head -1`.

## Times, sizes, completion

Times take a unit: `500ms`, `90s`, `15m`, `12h`, `30d`, `4w`; a bare number counts seconds, except
for `--expires`, which needs a unit. Sizes are `100`, `64KiB` (1,024) or `10MB` (1,000,000).

`rundlet --install-completion` lets bash, zsh, fish or PowerShell complete commands, options and the
keys of the store; `--show-completion` prints the script for your own set-up.
"""

# What a code means for one command, where that is more than the table above says.
_CODES: Final[dict[str, str]] = {
    "get": "Exit code 1: the key has no value, or the revision is no longer kept.",
    "set": "Exit code 3: the condition (`--if-absent`, `--if-revision`) failed.",
    "del": "Exit code 1: none of the keys had a value.",
    "exists": "Exit code 1: one of the keys has no value.",
    "ttl": "Exit code 1: the key has no value.",
    "touch": "Exit code 1: the key has no value.",
    "cp": "Exit code 1: the key has no value. Exit code 3: the new key has one (`--if-absent`).",
    "mv": "Exit code 1: the key has no value. Exit code 3: the new key has one (`--if-absent`), or"
    " the key changed all the time.",
    "edit": "Exit code 3: the value has changed since it was opened.",
    "incr": "Exit code 2: the value is not a number.",
    "mget": "Exit code 1: a key has no value; the values of the others are printed.",
    "txn": "Exit code 3: a condition failed, and there is no else; nothing was changed.",
    "shell": "In a pipe, the exit code is that of the first line that failed.",
    "import": "Exit code 2: a line is bad; nothing was loaded.",
    "copy": "Exit code 3: TO has keys that are not of this copy. Exit code 5: keys are not the same"
    " in both; the message names them.",
    "serve": "Exit code 2: a setting is wrong, or other machines could reach a server without "
    "tokens. Exit code 4: the port is in use.",
    "verify": "Exit code 5: something is damaged.",
    "repair": "Exit code 1: something is lost, or a key has an older value again; the report says "
    "what.",
    "context use": "Exit code 1: there is no such context.",
    "context rm": "Exit code 1: there is no such context.",
    "token rm": "Exit code 1: there is no such token.",
    "bench": "If any operation failed, the exit code is that of the first error.",
}


def page() -> str:
    """The page as it should be."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    groups = {panel: [row.name for row in rows] for panel, rows in panels()}
    parts = [_INTRODUCTION.format(index="\n".join(_index(groups))), _general(root)]
    for title, names in groups.items():
        parts.append(f"## {title}\n")
        parts += [part for name in names for part in _sections(name, loaded(name))]
    return "\n".join(parts)


def _index(groups: dict[str, list[str]]) -> Iterator[str]:
    for title, names in groups.items():
        links = ", ".join(f"[{name}](#rundlet-{name})" for name in names)
        yield f"| {title} | {links} |"


def _general(root: TyperGroup) -> str:
    options = [param for param in root.params if isinstance(param, TyperOption)]
    return "\n".join(["## Options of `rundlet` itself", "", *_table(options), ""])


def _sections(name: str, command: object) -> Iterator[str]:
    """The section of a command, or those of a group and its commands."""
    if isinstance(command, TyperGroup):
        yield "\n".join([f"### rundlet {name}", "", *_help(command), ""])
        for below, each in command.commands.items():
            yield from _sections(f"{name} {below}", each)
        return
    assert isinstance(command, TyperCommand)
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    options = [param for param in command.params if isinstance(param, TyperOption)]
    own = [option for option in options if option.rich_help_panel != _PLACE]
    lines = [f"### rundlet {name}", "", *_help(command), ""]
    lines += [
        "```text",
        " ".join(["rundlet", name, "[OPTIONS]", *map(_usage, arguments)]),
        "```",
        "",
    ]
    if any(argument.help for argument in arguments):
        lines += [f"* `{_word(each)}`: {_plain(each.help)}" for each in arguments if each.help]
        lines.append("")
    lines += [*_table(own), ""] if own else []
    lines += _place(options)
    if example := _example(command):
        lines += ["Example:", "", "```text", example, "```", ""]
    if name in _CODES:
        lines += [_CODES[name], ""]
    yield "\n".join(lines)


def _place(options: Iterable[TyperOption]) -> list[str]:
    """One line on ``--url``, ``--data`` and ``--token`` of a command."""
    names = [f"`{option.opts[0]}`" for option in options if option.rich_help_panel == _PLACE]
    return [f"[Where the data is](#where-the-data-is): {', '.join(names)}.", ""] if names else []


def _help(command: TyperCommand | TyperGroup) -> list[str]:
    paragraphs = [_plain(each) for each in (command.help or "").split("\n\n")]
    kept = [each for each in paragraphs if not each.startswith(_EXAMPLE)]
    return "\n\n".join(fill(each, _WIDTH, break_on_hyphens=False) for each in kept).splitlines()


def _example(command: TyperCommand) -> str:
    lines = [*(command.help or "").splitlines(), *(command.epilog or "").splitlines()]
    found = [line.strip() for line in lines if line.strip().startswith(_EXAMPLE)]
    return "\n".join(line.removeprefix(_EXAMPLE) for line in found)


def _usage(argument: TyperArgument) -> str:
    word = _word(argument) + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def _word(param: TyperArgument) -> str:
    return param.metavar or (param.name or "").upper()


def _table(options: Iterable[TyperOption]) -> list[str]:
    """The options; a column that would be empty is left out."""
    rows = [_row(option) for option in options if not option.hidden]
    titles = ("option", "variable", "default", "meaning")
    kept = [index for index in range(len(titles)) if any(row[index] for row in rows)]
    lines = [[row[index] for index in kept] for row in (titles, *rows)]
    lines.insert(1, ["---"] * len(kept))
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _row(option: TyperOption) -> tuple[str, str, str, str]:
    """Option with the form of its value, variable, default, meaning."""
    names = sorted([*option.opts, *option.secondary_opts], key=len, reverse=True)
    form = "" if option.is_flag else f" {_form(option)}"
    shown = ", ".join([f"`{names[0]}{form}`", *(f"`{name}`" for name in names[1:])])
    variable = f"`{option.envvar}`" if option.envvar else ""
    return shown.replace("|", "\\|"), variable, _default(option), _plain(option.help)


def _form(option: TyperOption) -> str:
    """What stands behind the option: its choices, or a word for the value."""
    annotation = option.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    words = {"int": "N", "float": "N", "Path": "PATH"}
    return option.metavar or words.get(getattr(annotation, "__name__", ""), "TEXT")


def _default(option: TyperOption) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    value = option.default
    if value is None or value is False or value == "" or callable(value):
        return ""
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _plain(text: str | None) -> str:
    return (text or "").strip().replace("|", "\\|")


if __name__ == "__main__":
    PAGE_PATH.write_text(page())
    MAN_PATH.write_text(man_page(page()))
