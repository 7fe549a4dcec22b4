"""The options ``--url``, ``--store``, ``--data`` and ``--token``, and opening their places.

Every command that touches data takes these options; ``open_target`` turns them into a
``Target``. ``--data DIR`` is short for the ``--store`` of a folder. The command line wins over the
environment, and ``--url``, ``--store`` and ``--data`` exclude each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rundlet import DEFAULT_URL
from rundlet_server.cli.arguments import CA_VARIABLE, DATA_HELP, STORE_HELP, TOKEN_HELP, URL_HELP
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.ask import Asking
from rundlet_server.cli.place.contexts import Context, chosen_context
from rundlet_server.cli.place.session import current_session
from rundlet_server.cli.place.target import Purpose, Target

if TYPE_CHECKING:
    from rundlet import Client
    from rundlet_server.storage.address import StoreAddress

Place = TypeVar("Place")

_PANEL = "Where the data is"
DEFAULT_FOLDER = Path("data")
_HASTY_TIMEOUT_S = 2.0
_NUMBERS = {2: "two", 3: "three"}
_OF_A_STORE = ("MANIFEST", "RESTORING")


def _named(option: str, kind: Callable[[str], Place], text: str) -> Place:
    """Convert the text of an option; refuse an empty text, which may come from an unset variable.

    Raises:
        typer.BadParameter: the text is empty.
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
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="ADDRESS",
        parser=partial(_named, "--store", str),
        help=STORE_HELP,
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
    url: str | None,
    data: Path | None,
    token: str | None,
    purpose: Purpose = Purpose.READ,
    *,
    store: str | None = None,
) -> Iterator[Target]:
    """Open the store that the options and the environment name; close it at the end.

    Args:
        url: ``--url`` as given.
        data: ``--data`` as given.
        token: ``--token`` as given.
        purpose: a store that does not exist yet is created for writing only.
        store: ``--store`` as given.

    Raises:
        CommandError: two places are named, or there is no store in the folder.
        InvalidAddress: ``--store`` is no address of a store that can be opened here.
    """
    session = current_session()
    if session is not None and url is None and data is None and store is None and token is None:
        yield session.target
        return
    url, address = chosen_place(url, data, store)
    if address is not None:
        from rundlet_server.cli.place.store import open_store_target  # noqa: PLC0415 - loads the engine, which takes its time

        opened = open_store_target(address, purpose)
        try:
            yield opened
        except BaseException:
            opened.abandon()
            raise
        opened.close()
        return
    client = open_client(url or DEFAULT_URL, token)
    try:
        yield client
    finally:
        client.close()


def open_client(url: str, token: str | None) -> Client:
    """Return a client of a server, with the token and CA file of the environment or a context."""
    from rundlet import Client  # noqa: PLC0415 - it loads httpx, which a folder needs nothing of

    token, ca_file = _credentials(url, token)
    return Client(url, token=token, ca_file=ca_file)


def open_hasty_client(url: str, token: str | None) -> Client:
    """Return a client with a short timeout, for completion while a person types."""
    from rundlet import Client  # noqa: PLC0415 - as in ``open_client``

    token, ca_file = _credentials(url, token)
    return Client(url, token=token, ca_file=ca_file, timeout_s=_HASTY_TIMEOUT_S, retries=0)


def open_asking(url: str, token: str | None) -> Asking:
    """Return ``Asking`` for a server, with the token and CA file as in ``open_client``."""
    return Asking(url, *_credentials(url, token))


def chosen_url(url: str | None) -> str | None:
    """Return the URL for a command that works on servers only: given, or from the environment."""
    if url is not None:
        return url
    named = os.environ.get("RUNDLET_URL") or None
    if named is None and (context := chosen_context()) is not None:
        named = context.url
    return named


def _credentials(url: str, token: str | None) -> tuple[str | None, str | None]:
    """Return the token and the CA file for a server, from the option, the environment or a context.

    The token of a context is sent only to the server of the context.
    """
    token = token or os.environ.get("RUNDLET_TOKEN") or None
    ca_file = os.environ.get(CA_VARIABLE) or None
    if token is not None and ca_file is not None:
        return token, ca_file
    context = chosen_context()
    if context is None or context.url != url:
        return token, ca_file
    return token or context.token(), ca_file or context.ca_file


def chosen_folder(data: Path | None) -> Path:
    """Return the folder for a command that works on folders only; it must exist."""
    folder = chosen_store(data, None).folder
    if folder is None:
        message = "this command works on a folder; name it with --data DIR"
        raise CommandError(message, ExitCode.USAGE)
    if not folder.is_dir():
        message = f"no such store: {folder} is not a folder; name it with --data DIR"
        raise CommandError(message)
    return folder


def chosen_store(data: Path | None, store: str | None) -> StoreAddress:
    """Return the store for a command that needs no server: given, from the environment, ./data."""
    _require_one({"--data": data, "--store": store})
    named = _address_of(data, store) or _named_by_environ()
    if named is None and (context := chosen_context()) is not None:
        named = _address_of_context(context)
    named = named or _address_of(DEFAULT_FOLDER, None)
    assert named is not None
    return named


def has_store(folder: Path) -> bool:
    """Return whether there is a store in a folder, damaged or not, or half restored.

    Raises:
        OSError: the folder cannot be looked into.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(name.endswith(".log") or name.startswith(_OF_A_STORE) for name in names)


@contextmanager
def no_store_if_missing(folder: Path) -> Iterator[None]:
    """Report a missing store with the same message in all commands."""
    try:
        yield
    except FileNotFoundError as ex:
        message = f"no such store: there is none in {folder}; check --data"
        raise CommandError(message) from ex


def chosen_place(
    url: str | None, data: Path | None, store: str | None = None
) -> tuple[str | None, StoreAddress | None]:
    """Return the URL or the store that the options, environment or context name; at most one."""
    _require_one({"--url": url, "--data": data, "--store": store})
    if url is not None:
        return url, None
    address = _address_of(data, store)
    if address is not None:
        return None, address
    url = os.environ.get("RUNDLET_URL") or None
    address = _named_by_environ()
    if url and address:
        message = f"RUNDLET_URL and {_variable()} name two places; give --url, --data or --store"
        raise CommandError(message, ExitCode.USAGE)
    if url is None and address is None and (context := chosen_context()) is not None:
        return context.url, _address_of_context(context)
    return url, address


def _address_of_context(context: Context) -> StoreAddress | None:
    folder = None if context.data is None else Path(context.data).expanduser()
    return _address_of(folder, context.store)


def _address_of(data: Path | None, store: str | None) -> StoreAddress | None:
    if data is None and store is None:
        return None
    # Imported only here, because a command that works on a server needs no engine.
    from rundlet_server.storage.address import StoreAddress  # noqa: PLC0415 - see above

    if data is not None:
        return StoreAddress.of_folder(data)
    return None if store is None else StoreAddress.parse(store)


def _named_by_environ() -> StoreAddress | None:
    data = os.environ.get("RUNDLET_DATA")
    store = os.environ.get("RUNDLET_STORE")
    _require_one({"RUNDLET_DATA": data or None, "RUNDLET_STORE": store or None})
    return _address_of(Path(data) if data else None, store or None)


def _variable() -> str:
    return "RUNDLET_STORE" if os.environ.get("RUNDLET_STORE") else "RUNDLET_DATA"


def _require_one(places: Mapping[str, object]) -> None:
    """Refuse more than one place."""
    named = [name for name, place in places.items() if place is not None]
    if len(named) > 1:
        message = f"{' and '.join(named)} name {_NUMBERS[len(named)]} places; give one of them"
        raise CommandError(message, ExitCode.USAGE)
