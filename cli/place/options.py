"""Where the data is: the options ``--url``, ``--data`` and ``--token``, and what they open.

Every command that touches data takes these options; ``open_target`` turns them into a
``Target``. The command line wins over the environment, and ``--url`` and ``--data`` exclude
each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from rundlet import DEFAULT_URL, Client
from rundlet_server.cli.arguments import CA_VARIABLE, DATA_HELP, TOKEN_HELP, URL_HELP
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.ask import Asking
from rundlet_server.cli.place.target import Purpose, Target

Place = TypeVar("Place")

_PANEL = "Where the data is"
DEFAULT_FOLDER = Path("data")


def _named(option: str, kind: Callable[[str], Place], text: str) -> Place:
    """What an option names; an empty one, as an unset variable leaves it, names nothing.

    Raises:
        typer.BadParameter: it is empty.
    """
    if text:
        return kind(text)
    message = "it is empty; is a variable not set?"
    raise typer.BadParameter(message, param_hint=option)


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        parser=partial(_named, "--url", str),
        help=URL_HELP,
        rich_help_panel=_PANEL,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        parser=partial(_named, "--data", Path),
        help=DATA_HELP,
        rich_help_panel=_PANEL,
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help=TOKEN_HELP,
        rich_help_panel=_PANEL,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        parser=partial(_named, "--data", Path),
        help=f"The store's folder [RUNDLET_DATA; default ./{DEFAULT_FOLDER}].",
        rich_help_panel=_PANEL,
    ),
]


@contextmanager
def open_target(
    url: str | None, data: Path | None, token: str | None, purpose: Purpose = Purpose.READ
) -> Iterator[Target]:
    """Open the store that the options and the environment name; close it at the end.

    Args:
        url: ``--url`` as given.
        data: ``--data`` as given.
        token: ``--token`` as given.
        purpose: a store that does not exist yet is created for writing only.

    Raises:
        CommandError: both a URL and a folder are named, or there is no store in the folder.
    """
    url, data = chosen_place(url, data)
    if data is not None:
        from rundlet_server.cli.place.folder import open_folder  # noqa: PLC0415 - loads the engine, which takes its time

        target: Target = open_folder(data, purpose)
    else:
        target = open_client(url or DEFAULT_URL, token)
    try:
        yield target
    finally:
        target.close()


def open_client(url: str, token: str | None) -> Client:
    """Return a client of the server at ``url``, with what the environment adds."""
    return Client(url, token=_shown(token), ca_file=_ca_file())


def open_asking(url: str, token: str | None) -> Asking:
    """Return plain requests to the server at ``url``, with what the environment adds."""
    return Asking(url, _shown(token), _ca_file())


def _shown(token: str | None) -> str | None:
    return token or os.environ.get("RUNDLET_TOKEN") or None


def _ca_file() -> str | None:
    return os.environ.get(CA_VARIABLE) or None


def chosen_folder(data: Path | None) -> Path:
    """Return the folder of a command that works on folders only; it must exist."""
    folder = data or Path(os.environ.get("RUNDLET_DATA") or DEFAULT_FOLDER)
    if not folder.is_dir():
        message = f"no such store: {folder} is not a folder; name it with --data DIR"
        raise CommandError(message)
    return folder


def token_folder(data: Path | None) -> Path:
    """Return the folder for tokens; it needs no store, as a first start may ask for tokens."""
    return data or Path(
        os.environ.get("RUNDLET_TOKENS") or os.environ.get("RUNDLET_DATA") or DEFAULT_FOLDER
    )


def has_store(folder: Path) -> bool:
    """Return whether there is a store in a folder, damaged or not."""
    return any(folder.glob("*.log")) or any(folder.glob("MANIFEST*"))


@contextmanager
def no_store_if_missing(folder: Path) -> Iterator[None]:
    """Report a missing store in the words that every command has for it."""
    try:
        yield
    except FileNotFoundError as ex:
        message = f"no such store: there is none in {folder}; check --data"
        raise CommandError(message) from ex


def chosen_place(url: str | None, data: Path | None) -> tuple[str | None, Path | None]:
    """Return the URL or the folder that options and environment name; at most one of them."""
    if url is not None and data is not None:
        message = "--url and --data name two places; give one of them"
        raise CommandError(message, ExitCode.USAGE)
    if url is not None or data is not None:
        return url, data
    url = os.environ.get("RUNDLET_URL") or None
    folder = os.environ.get("RUNDLET_DATA") or None
    if url and folder:
        message = "RUNDLET_URL and RUNDLET_DATA name two places; give --url or --data"
        raise CommandError(message, ExitCode.USAGE)
    return url, Path(folder) if folder else None
