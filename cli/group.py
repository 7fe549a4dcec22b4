"""The group of all commands: imports a command's module when it runs, and turns errors into a line.

For names, help and completion it reads only the table of commands.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from rundlet_server.cli.arguments import asks_for_json, general_first, moved_behind_command
from rundlet_server.cli.exits import ExitCode, Interrupted, exit_code_of, message_of, print_error
from rundlet_server.cli.helptexts import unify
from rundlet_server.cli.overview import overview
from rundlet_server.cli.parameters import quicken
from rundlet_server.cli.process import INTERRUPTED, READER_GONE, abandon_stdout
from rundlet_server.cli.table import COMMANDS

if TYPE_CHECKING:
    from typer._click.core import Command, Context, Parameter
    from typer._click.formatting import HelpFormatter
    from typer._click.shell_completion import CompletionItem

COMPLETION_VARIABLE: Final = "_RUNDLET_COMPLETE"
"""Set by the shells' scripts, which typer writes."""

_AS_JSON: Final = "rundlet.as_json"
_ROWS: Final = {row.name: row for row in COMMANDS}


class CommandGroup(TyperGroup):
    """The commands of the table; an error becomes one line on stderr and an exit code."""

    _is_listing = False

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command; import its module unless only names and help lines are needed."""
        if cmd_name not in _ROWS:
            return None
        if self._is_listing:
            return TyperCommand(name=cmd_name, help=_ROWS[cmd_name].summary)
        command = loaded(cmd_name)
        if ctx.resilient_parsing:  # of a completion
            from rundlet_server.cli.place.completing import complete_keys  # noqa: PLC0415 - loads the client

            complete_keys(command)
        quicken(command.get_params(ctx))
        return command

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - typer passes it
        """Return the names in the order of the help."""
        return list(_ROWS)

    def _main_shell_completion(
        self, ctx_args: MutableMapping[str, object], prog_name: str, complete_var: str | None = None
    ) -> None:
        if os.environ.get(COMPLETION_VARIABLE):
            from typer.completion import get_completion_inspect_parameters  # noqa: PLC0415 - rarely used

            from rundlet_server.cli import bash  # noqa: PLC0415 - as the line before

            get_completion_inspect_parameters()  # registers the shells that typer knows
            bash.register()
        super()._main_shell_completion(ctx_args, prog_name, complete_var)

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command or an option."""
        self._is_listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._is_listing = False

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - typer passes it
        """Write the overview of all commands."""
        formatter.write(overview())

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the options before the command, and ``--help``."""
        params = super().get_params(ctx)
        quicken(params)
        return params

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the options before the command, and move the options of the command behind it."""
        general, args = general_first(args)
        args = moved_behind_command(args)
        ctx.meta[_AS_JSON] = asks_for_json(args)
        if not general and not args and not ctx.resilient_parsing:
            typer.echo(overview(), nl=False)
            raise typer.Exit(ExitCode.USAGE)
        try:
            return super().parse_args(ctx, general + args)
        except typer.TyperException as ex:
            raise _usage_error(ctx, ex) from ex
        except OSError as ex:  # of the help or the version, which end here
            raise _system_error(ctx, ex) from ex

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Find the command; for an unknown name, suggest similar names."""
        self.commands = dict.fromkeys(_ROWS, TyperCommand(name=None))  # typer reads the names only
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, EOFError):
            raise  # typer's own ways to end
        except Interrupted as ex:
            raise _exit_with(ctx, str(ex), INTERRUPTED) from ex
        except typer.TyperException as ex:
            raise _usage_error(ctx, ex) from ex
        except BrokenPipeError as ex:
            raise _system_error(ctx, ex) from ex
        except Exception as ex:
            code = exit_code_of(ex)
            if code is not None:
                raise _exit_with(ctx, message_of(ex), code) from ex
            if os.environ.get("RUNDLET_TRACEBACK"):
                raise
            what = f"internal error, {type(ex).__name__}: {ex}"
            hint = "please report it, with what RUNDLET_TRACEBACK=1 shows"
            raise _exit_with(ctx, f"{what} ({hint})", ExitCode.UNREACHABLE) from ex


def loaded(name: str) -> Command:
    """Import the module of a command, and return only this command."""
    commands: typer.Typer = import_module(f"rundlet_server.cli.{_ROWS[name].module}").commands
    alone = typer.Typer(add_completion=False)
    alone.registered_commands = [c for c in commands.registered_commands if c.name == name]
    alone.registered_groups = [g for g in commands.registered_groups if g.name == name]
    made = get_command(alone)
    command = made.commands[name] if isinstance(made, TyperGroup) else made
    unify(command)
    return command


def _usage_error(ctx: Context, error: typer.TyperException) -> typer.Exit:
    where = getattr(error, "ctx", None) or ctx
    message = error.format_message().strip().removesuffix(".")
    see = " See" if message.endswith("?") else "; see"
    return _exit_with(ctx, f"{message}{see} {where.command_path} --help", ExitCode.USAGE)


def _system_error(ctx: Context, error: OSError) -> typer.Exit:
    if isinstance(error, BrokenPipeError):
        abandon_stdout()
        return typer.Exit(READER_GONE)
    return _exit_with(ctx, message_of(error), ExitCode.UNREACHABLE)


def _exit_with(ctx: Context, message: str, code: int) -> typer.Exit:
    print_error(message, code, as_json=ctx.meta[_AS_JSON])
    return typer.Exit(code)
