"""One style for the help of all commands.

* An argument is a word in capitals, in brackets if it may be missing: ``KEY [VALUE]``.
* An option with a value is followed by a word in capitals for the value, or by its choices:
  ``--limit N``, ``--format text|jsonl``. A flag is followed by nothing.
* A paragraph is wrapped to the width of the terminal, regardless of line breaks in the source.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from typer.core import TyperArgument, TyperGroup, TyperOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer._click.core import Command, Context, Parameter


def unify(command: Command) -> None:
    """Apply the style to the help of a command, or of a group and its commands."""
    command.help = _filled(command.help or "")
    for param in command.params:
        _unify_parameter(param)
    # Set on this command only, as in ``parameters``; typer makes the option when needed.
    vars(command)["get_help_option"] = partial(_help_option, command.get_help_option)
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            unify(each)


def _filled(text: str) -> str:
    """Join the lines of each paragraph."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _help_option(made: Callable[[Context], TyperOption | None], ctx: Context) -> TyperOption | None:
    option = made(ctx)
    if option is not None:
        _unify_parameter(option)
    return option


def _unify_parameter(param: Parameter) -> None:
    own = vars(param)
    if isinstance(param, TyperArgument):
        word = f"{param.metavar or (param.name or '').upper()}{'...' if param.nargs != 1 else ''}"
        param.metavar = word.removesuffix("...")
        own["_usage_display_name"] = partial(str, word if param.required else f"[{word}]")
        own["display_type_rich"] = _nothing
    elif isinstance(param, TyperOption):
        shown = None if param.is_flag else partial(_value_word, param)
        own["display_type_rich"] = shown or _nothing
    own["_get_number_range_help_str"] = _nothing  # an error names the range


def _value_word(option: TyperOption, *, ctx: Context) -> str:
    return option.metavar or (option.display_type(ctx) or "").strip("<>")


def _nothing(*, ctx: Context | None = None) -> None:
    """Show no type: a flag has none, and the type of an argument is obvious."""
