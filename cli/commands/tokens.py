"""``rundlet token add|ls|rm``: manage the tokens of a server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import (
    FolderOption,
    JsonOption,
    StoreOption,
    chosen_store,
    has_store,
)
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import (
    escaped,
    shown_key,
    stdout_is_terminal,
    write_line,
    write_lines,
)
from rundlet_server.cli.show.times import moment_us, shown_moment
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.tokens.interface import Scope, Token, TokenStore
from rundlet_server.storage.tokens.opening import open_tokens

commands = typer.Typer()
token = typer.Typer(no_args_is_help=True)
commands.add_typer(token, name="token")


@token.callback()
def _token() -> None:
    """Manage tokens.

    There is no authentication until you create a token. Tokens are kept in the store's folder, so
    this command runs on the server's machine; a running server follows every change at once.

    Example: rundlet token add backup --scope read
    """


@token.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Tells tokens apart in lists and logs.")],
    *,
    scope: Annotated[
        Scope, typer.Option(help="write includes read, admin includes both.")
    ] = "read",
    prefix: Annotated[
        str, typer.Option(metavar="PREFIX", help="Only for keys with this prefix.")
    ] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="30d, 12h, or 2027-01-31T12:00:00Z.")
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Create the folder, before a server's first start.")
    ] = False,
    data: FolderOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a token and print its secret, which is shown only now.

    Creating the first token turns authentication on.

    Example: rundlet token add app --scope write --prefix app/ --expires 90d
    """
    expires_us = None if expires is None else moment_us("--expires", expires, system_clock_us())
    address, tokens = _tokens(data, store)
    if address.folder is not None:
        _require_folder(address.folder, create=create)
    is_first = not tokens.read()
    made, secret = tokens.add(name, scope, prefix=prefix, expires_us=expires_us)
    if is_first:
        sys.stderr.write(
            f"Authentication is on: a server on {escaped(address.shown)} now refuses requests"
            " without a token.\n"
        )
    if as_json:
        write_line(to_line({**_members(made), "token": secret}))
        return
    write_line(secret)
    if stdout_is_terminal():
        sys.stderr.write(
            "Keep the token: it is shown only now. The command line takes it with --token or\n"
            "RUNDLET_TOKEN; over HTTP send the header Authorization: Bearer TOKEN.\n"
        )


@token.command("ls")
def list_(
    data: FolderOption = None,
    store: StoreOption = None,
    output_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tokens, without their secrets.

    Example: rundlet token ls
    """
    wanted = format_of(output_format, as_json=as_json)
    tokens = _tokens(data, store)[1].read()
    if wanted is None:
        now_us = system_clock_us()
        write_lines(_line(found, now_us) for found in tokens)
    else:
        write_rows(tokens, _SHAPE, wanted)


@token.command("rm")
def remove(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    data: FolderOption = None,
    store: StoreOption = None,
) -> None:
    """Revoke a token: from now on servers refuse it.

    Example: rundlet token rm app
    """
    _, tokens = _tokens(data, store)
    if not tokens.read() or tokens.remove(name) is None:  # read first: that makes no folder
        raise CommandError(f"there is no token {name!r}; see rundlet token ls", ExitCode.NOT_FOUND)
    if not tokens.read():
        sys.stderr.write(
            "That was the last token, so authentication is off: every program on this machine may\n"
            "do everything again. A server that other machines can reach refuses all requests.\n"
        )


def _require_folder(folder: Path, *, create: bool) -> None:
    """Refuse a folder that does not exist, because ``--data`` may be mistyped."""
    if not folder.is_dir():
        if not create:
            message = (
                f"there is no folder {folder}; check --data, or add --create to prepare it for"
                " a server that has not run yet"
            )
            raise CommandError(message)
        sys.stderr.write(f"Created the folder {escaped(str(folder.absolute()))}.\n")
    elif not has_store(folder):
        sys.stderr.write(
            f"There is no store in {escaped(str(folder))} yet: only a server started with --data or"
            " --tokens and this folder asks for the token.\n"
        )


def _tokens(data: Path | None, store: str | None) -> tuple[StoreAddress, TokenStore]:
    """Return the address and the tokens; there may be no store yet, as a first start needs tokens.

    Raises:
        CommandError: the store has no place for tokens.
    """
    is_named = data is not None or store is not None
    folder = None if is_named else os.environ.get("RUNDLET_TOKENS")
    address = StoreAddress.of_folder(Path(folder)) if folder else chosen_store(data, store)
    tokens = open_tokens(address)
    if tokens is None:
        message = f"{address.shown} keeps no tokens; name the folder of --tokens with --data DIR"
        raise CommandError(message, ExitCode.USAGE)
    return address, tokens


def _members(found: Token) -> dict[str, object]:
    """Return a token without its secret."""
    return {
        "id": found.token_id,
        "name": found.name,
        "scope": found.scope,
        "prefix": found.prefix,
        "created": shown_moment(found.created_us),
        "expires": None if found.expires_us is None else shown_moment(found.expires_us),
    }


def _line(found: Token, now_us: int) -> str:
    width = max(map(len, get_args(Scope)))
    keys = f"keys {shown_key(found.prefix)}…" if found.prefix else "all keys"
    line = f"{found.token_id}  {found.scope:<{width}}  {escaped(found.name)}  {keys}"
    if found.expires_us is None:
        return line
    word = "expired" if found.expires_us <= now_us else "expires"
    return f"{line}  {word} {shown_moment(found.expires_us)}"


def _cells(found: Token) -> tuple[str, ...]:
    return tuple("" if each is None else shown_key(str(each)) for each in _members(found).values())


_SHAPE: Final = Shape(
    _members,
    ("id", "name", "scope", "prefix", "created", "expires"),
    ("id", "name", "scope", "prefix", "created", "expires"),
    _cells,
)
