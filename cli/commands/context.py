"""``rundlet context add|ls|use|rm``: places by their names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from rundlet_server.cli.arguments import CA_VARIABLE, CONTEXT_VARIABLE
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.contexts import Context, Contexts, file_path, read_contexts
from rundlet_server.cli.place.options import DataOption, JsonOption, StoreOption, UrlOption
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.terminal import escaped, shown_key

commands = typer.Typer()
context = typer.Typer(no_args_is_help=True)
commands.add_typer(context, name="context")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Named(NamedTuple):
    name: str
    context: Context
    is_current: bool


@context.callback()
def _context() -> None:
    """Name places.

    A context is a server or a store, with the file of its token. Choose one for a command with -c
    NAME or RUNDLET_CONTEXT, or for all commands that name no place with rundlet context use.

    Example: rundlet context add prod --url https://kv.example.org --token-file ~/.kv-token
    """


@context.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_', '-'.")],
    *,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="It holds the token alone.")
    ] = None,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
) -> None:
    """Add a context, or replace it.

    With the --ca-file of this command line, if there is one.

    Example: rundlet context add prod --url https://kv.example.org --token-file ~/.kv-token
    """
    if not _NAME.fullmatch(name):
        message = f"{name!r} is no name of a context; use letters, digits, '.', '_' and '-'"
        raise CommandError(message, ExitCode.USAGE)
    if sum(place is not None for place in (url, data, store)) != 1:
        message = "give the place of the context: one of --url, --data and --store"
        raise CommandError(message, ExitCode.USAGE)
    if token_file is not None and url is None:
        raise CommandError("--token-file needs --url", ExitCode.USAGE)
    ca_file = os.environ.get(CA_VARIABLE) if url is not None else None
    made = Context(
        url=url,
        data=None if data is None else _absolute(data),
        store=store,
        token_file=None if token_file is None else _absolute(Path(token_file)),
        ca_file=None if not ca_file else _absolute(Path(ca_file)),
    )
    made.token()  # a file that cannot be read is reported now
    contexts = read_contexts()
    Contexts(contexts.current, {**contexts.named, name: made}).save()


@context.command("ls")
def list_(output_format: FormatOption = None, as_json: JsonOption = False) -> None:
    """List the contexts.

    The one in use is marked.

    Example: rundlet context ls
    """
    wanted = format_of(output_format, as_json=as_json)
    contexts = read_contexts()
    current = os.environ.get(CONTEXT_VARIABLE) or contexts.current
    rows = [_Named(name, each, name == current) for name, each in sorted(contexts.named.items())]
    write_rows(rows, _SHAPE, wanted)


@context.command("use")
def use(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Without it, none is in use.")
    ] = None,
) -> None:
    """Use a context in all commands that name no place.

    Example: rundlet context use prod
    """
    contexts = read_contexts()
    if name is not None:
        _require(contexts, name)
    Contexts(name, contexts.named).save()


@context.command("rm")
def remove(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Remove a context; the file of its token stays.

    Example: rundlet context rm prod
    """
    contexts = read_contexts()
    _require(contexts, name)
    left = {each: found for each, found in contexts.named.items() if each != name}
    Contexts(None if contexts.current == name else contexts.current, left).save()
    if contexts.current == name:
        sys.stderr.write("No context is in use now.\n")


def _require(contexts: Contexts, name: str) -> None:
    if name not in contexts.named:
        message = f"there is no context {name!r} in {escaped(str(file_path()))}"
        raise CommandError(message, ExitCode.NOT_FOUND)


def _absolute(path: Path) -> str:
    """Return an absolute path, which does not depend on the working directory."""
    return str(path.expanduser().absolute())


def _members(row: _Named) -> Mapping[str, object]:
    found = row.context
    return {
        "name": row.name,
        "current": row.is_current,
        "url": found.url,
        "data": found.data,
        "store": found.store,
        "token_file": found.token_file,
        "ca_file": found.ca_file,
    }


def _cells(row: _Named) -> Sequence[str]:
    mark = "*" if row.is_current else ""
    cells = [mark, row.name, shown_key(row.context.place)]
    return [*cells, shown_key(row.context.token_file)] if row.context.token_file else cells


_SHAPE: Final = Shape(
    _members,
    ("name", "current", "url", "data", "store", "token_file", "ca_file"),
    ("", "name", "place", "token file"),
    _cells,
)
