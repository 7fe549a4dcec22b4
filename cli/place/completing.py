"""Completes the keys on a command line from the store that it names."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from typer._click.shell_completion import CompletionItem
from typer.core import TyperArgument, TyperOption

from rundlet_server.cli.place.options import chosen_place, open_hasty_client, open_target

if TYPE_CHECKING:
    from pathlib import Path

    from typer._click.core import Command, Context

    from rundlet_server.cli.place.target import Target

_WORDS: Final = frozenset({"KEY", "NEW", "PREFIX"})
_OPTIONS: Final = frozenset({"--prefix", "--start", "--end", "--after"})
_KEYS_MAX: Final = 50
_DELIMITER: Final = "/"


def complete_keys(command: Command) -> None:
    """Enable completion for all parameters of a command that are keys."""
    for param in command.params:
        if is_key(param):
            vars(param)["shell_complete"] = _complete  # set on this one only, as in ``parameters``


def is_key(param: object) -> bool:
    """Return whether a parameter is a key or a prefix of keys."""
    if isinstance(param, TyperArgument):
        return param.metavar in _WORDS
    return isinstance(param, TyperOption) and not _OPTIONS.isdisjoint(param.opts)


def keys_like(target: Target, start: str) -> list[str]:
    """Return the keys that begin with ``start``, each only up to its next slash."""
    found: list[str] = []
    prefix = start
    while True:
        infos = target.scan(prefix=prefix, delimiter=_DELIMITER, limit=_KEYS_MAX)
        below = [info.key for info in infos]
        found = below or found
        # A shell would end the word after a single completion, even if it is a prefix.
        if len(below) != 1 or not below[0].endswith(_DELIMITER) or below[0] == prefix:
            return found
        prefix = below[0]


def _complete(ctx: Context, incomplete: str) -> list[CompletionItem]:
    """Return the keys for a shell; on any error return none, as a shell shows no message."""
    with suppress(Exception):
        return [CompletionItem(key) for key in _keys(ctx, incomplete) if key.isprintable()]
    return []


def _keys(ctx: Context, incomplete: str) -> list[str]:
    given = ctx.params
    url: str | None = given.get("url")
    data: Path | None = given.get("data")
    store: str | None = given.get("store")
    token: str | None = given.get("token")
    named, address = chosen_place(url, data, store)
    if address is not None:
        with open_target(None, data, None, store=store) as target:
            return keys_like(target, incomplete)
    from rundlet import DEFAULT_URL  # noqa: PLC0415 - loads the client, as the line before does

    with open_hasty_client(named or DEFAULT_URL, token) as client:
        return keys_like(client, incomplete)
