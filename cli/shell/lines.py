"""The lines of a shell: their history, and completion of commands, options and keys."""

from __future__ import annotations

import os
import readline
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typer.core import TyperArgument, TyperGroup, TyperOption

from rundlet_server.cli.group import loaded
from rundlet_server.cli.place.completing import is_key, keys_like
from rundlet_server.cli.table import COMMANDS

if TYPE_CHECKING:
    from typer._click.core import Command, Parameter

    from rundlet_server.cli.place.target import Target

BUILT_IN: Final = ("help", "exit")
_HISTORY_LINES_MAX: Final = 1_000
_NAMES: Final = tuple(row.name for row in COMMANDS if row.name != "shell")


@contextmanager
def edited_lines(target: Target) -> Iterator[None]:
    """Let ``input`` complete lines, and keep their history for later processes."""
    readline.set_completer_delims(" \t\n")
    readline.set_completer(_Completer(target).complete)
    readline.parse_and_bind("tab: complete")
    path = history_path()
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_completer(None)
        _save(path)


def history_path() -> Path:
    """Return the path of the history of this user."""
    folder = os.environ.get("XDG_STATE_HOME") or ""
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".local" / "state"
    return base / "rundlet" / "shell_history"


def _save(path: Path) -> None:
    """Write the history, readable only by this user, as it may have values; ignore errors."""
    readline.set_history_length(_HISTORY_LINES_MAX)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        readline.write_history_file(path)


class _Completer:
    """Completes the word at the cursor."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._found: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """Return completion number ``state`` of ``text``; ``None`` if there are no more."""
        if state == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            try:
                self._found = completions(self._target, before, text)
            except Exception:
                self._found = []
        return self._found[state] if state < len(self._found) else None


def completions(target: Target, before: str, text: str) -> list[str]:
    """Return the completions of ``text`` after the line so far."""
    words = shlex.split(before)
    if not words:
        return [f"{name} " for name in (*BUILT_IN, *_NAMES) if name.startswith(text)]
    if words == ["help"]:
        return [name for name in _NAMES if name.startswith(text)]
    if words[0] not in _NAMES:
        return []
    command = loaded(words[0])
    if isinstance(command, TyperGroup):
        if len(words) == 1:
            return [f"{name} " for name in command.commands if name.startswith(text)]
        command = command.commands.get(words[1], command)
    if text.startswith("-"):
        return [f"{option} " for option in _options(command) if option.startswith(text)]
    param = _param_at(command, words[1:])
    return list(_keys(target, text)) if param is not None and is_key(param) else []


def _options(command: Command) -> Iterator[str]:
    yield "--help"
    for param in command.params:
        if isinstance(param, TyperOption) and not param.hidden:
            yield from (option for option in param.opts if option.startswith("--"))


def _param_at(command: Command, words: list[str]) -> Parameter | None:
    """Return the parameter of the value that comes after these words."""
    if words and words[-1].startswith("-"):
        named = [p for p in command.params if isinstance(p, TyperOption) and words[-1] in p.opts]
        if named and not named[0].is_flag:
            return named[0]
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    place = sum(not word.startswith("-") for word in words)
    if not arguments:
        return None
    is_in_range = place < len(arguments) or arguments[-1].nargs == -1
    return arguments[min(place, len(arguments) - 1)] if is_in_range else None


def _keys(target: Target, text: str) -> Iterator[str]:
    """Yield keys that complete ``text``, quoted for the line."""
    for key in keys_like(target, text.removeprefix("'")):
        if key.isprintable():
            yield shlex.quote(key)
