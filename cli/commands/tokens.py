"""``rundlet token add|ls|rm``: who may use a server, and for what."""

from __future__ import annotations

import sys
from typing import Annotated, get_args

import typer

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import FolderOption, JsonOption, token_folder
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.panels import Panel
from rundlet_server.cli.show.terminal import escaped, shown_key, write_line, write_lines
from rundlet_server.cli.show.times import moment_us, shown_moment
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.interface import Scope, Token

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
    as_json: JsonOption = False,
) -> None:
    """Make a token and print its secret, which is shown only now.

    Example: rundlet token add app --scope write --prefix app/ --expires 90d
    """
    expires_us = None if expires is None else moment_us("--expires", expires, system_clock_us())
    made, secret = TokenFile(token_folder(data)).add(
        name, scope, prefix=prefix, expires_us=expires_us
    )
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
def list_(data: FolderOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, without their secrets.

    Example: rundlet token ls
    """
    tokens = TokenFile(token_folder(data)).read()
    if as_json:
        write_lines(to_line(_members(found)) for found in tokens)
        return
    now_us = system_clock_us()
    write_lines(_line(found, now_us) for found in tokens)


@token.command("rm")
def remove(
    name: Annotated[str, typer.Argument(help="Name or id.")], data: FolderOption = None
) -> None:
    """Take a token back: from now on it lets nobody in.

    Example: rundlet token rm app
    """
    file = TokenFile(token_folder(data))
    if not file.read() or file.remove(name) is None:  # read first: that makes no folder
        raise CommandError(f"there is no token {name!r}; see rundlet token ls", ExitCode.NOT_FOUND)
    if not file.read():
        sys.stderr.write(
            "That was the last one: on this machine everybody may do everything again;\n"
            "a server that other machines can reach lets nobody in.\n"
        )


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
