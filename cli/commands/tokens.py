"""``rundlet token add|ls|rm``: who may use a server, and for what."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import FolderOption, JsonOption, StoreOption, chosen_store
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.panels import Panel
from rundlet_server.cli.show.terminal import escaped, shown_key, write_line, write_lines
from rundlet_server.cli.show.times import moment_us, shown_moment
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.tokens.interface import Scope, Token, TokenStore
from rundlet_server.storage.tokens.opening import open_tokens

commands = typer.Typer()
token = typer.Typer(no_args_is_help=True)
commands.add_typer(token, name="token", rich_help_panel=Panel.CARE)


@token.callback()
def _token() -> None:
    """Say who may use a server: token add, ls, rm.

    Works on the store's folder, on the server's machine; a running server goes by it at once.

    Example: rundlet token add backup --scope read
    """


@token.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Tells tokens apart in lists and logs.")],
    *,
    scope: Annotated[
        Scope, typer.Option(help="write includes read, admin includes both.")
    ] = "read",
    prefix: Annotated[str, typer.Option(help="Only for keys that begin so.")] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="30d, 12h, or 2027-01-31T12:00:00Z.")
    ] = None,
    data: FolderOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print its secret, which is shown only now.

    Example: rundlet token add app --scope write --prefix app/ --expires 90d
    """
    expires_us = None if expires is None else moment_us("--expires", expires, system_clock_us())
    tokens = _tokens(data, store)
    made, secret = tokens.add(name, scope, prefix=prefix, expires_us=expires_us)
    if as_json:
        write_line(to_line({**_members(made), "token": secret}))
        return
    write_line(secret)
    if sys.stdout.isatty():
        sys.stderr.write(
            "Keep it: it is shown only now. Use it with --token or RUNDLET_TOKEN, or send\n"
            "Authorization: Bearer TOKEN\n"
        )


@token.command("ls")
def list_(
    data: FolderOption = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """List the tokens, without their secrets.

    Example: rundlet token ls
    """
    tokens = _tokens(data, store).read()
    if as_json:
        write_lines(to_line(_members(found)) for found in tokens)
        return
    now_us = system_clock_us()
    write_lines(_line(found, now_us) for found in tokens)


@token.command("rm")
def remove(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    data: FolderOption = None,
    store: StoreOption = None,
) -> None:
    """Take a token back: from now on it lets nobody in.

    Example: rundlet token rm app
    """
    tokens = _tokens(data, store)
    if not tokens.read() or tokens.remove(name) is None:  # read first: that makes no folder
        raise CommandError(f"there is no token {name!r}; see rundlet token ls", ExitCode.NOT_FOUND)
    if not tokens.read():
        sys.stderr.write(
            "That was the last one: on this machine everybody may do everything again;\n"
            "a server that other machines can reach lets nobody in.\n"
        )


def _tokens(data: Path | None, store: str | None) -> TokenStore:
    """The tokens of a store, which need no store yet: they are made before the first start.

    Raises:
        CommandError: the store has no place for tokens.
    """
    is_named = data is not None or store is not None
    folder = None if is_named else os.environ.get("RUNDLET_TOKENS")
    address = chosen_store(data, store)
    tokens = open_tokens(address, Path(folder) if folder else None)
    if tokens is None:
        message = f"{address.shown} keeps no tokens; name the folder of --tokens with --data DIR"
        raise CommandError(message, ExitCode.USAGE)
    return tokens


def _members(found: Token) -> dict[str, object]:
    """What may be shown of a token."""
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
