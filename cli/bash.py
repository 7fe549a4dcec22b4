r"""Completion in bash for words that bash splits further.

Bash splits a line not only at blanks: ``user:42`` is three words to it, and so are a URL and
``a=1``. It passes only the last one to the script, and replaces only that one. So the script passes
the whole line up to the cursor as well, and each completion omits the part that bash keeps.

Completions outside of quotes are escaped, so that a key with a blank remains one word.
"""

from __future__ import annotations

import os
import re
from typing import Final

from typer import _completion_shared
from typer._click.shell_completion import CompletionItem, add_completion_class, split_arg_string
from typer._completion_classes import BashComplete

_SCRIPT: Final = """\
%(complete_func)s() {
    mapfile -t COMPREPLY < <( env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" \\
                              %(autocomplete_var)s=complete_bash "$1" )
    return 0
}

complete -o default -F %(complete_func)s %(prog_name)s
"""
_BASH: Final = "bash"
_SPECIAL: Final = re.compile(r"""[\s\\'"`$&|;<>(){}*?!#~\[\]]""")
_SPECIAL_IN: Final = {'"': re.compile(r'[\\"`$]'), "'": re.compile("'")}
_ESCAPED_IN: Final = {'"': r"\\\g<0>", "'": r"'\\''"}


def register() -> None:
    """Make typer use this module for completion in bash."""
    _completion_shared._completion_scripts[_BASH] = _SCRIPT
    add_completion_class(_BashComplete, _BASH)


class _BashComplete(BashComplete):
    """Completes the part of the last word that bash replaces."""

    source_template = _SCRIPT
    _kept = ""
    _quote = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete word, and the incomplete word."""
        line = os.environ.get("COMP_LINE")
        if line is None:  # a script of an earlier release
            return super().get_completion_args()
        words = split_arg_string(line)
        self._quote = open_quote(line)
        is_new = not self._quote and line[-1:].isspace() and not line.endswith("\\ ")
        incomplete = "" if is_new or not words else words.pop()
        replaced = os.environ.get("COMP_WORD", "")
        if not self._quote:
            replaced = "".join(split_arg_string(replaced))
        if incomplete.endswith(replaced):
            self._kept = incomplete.removesuffix(replaced)
        if incomplete.startswith("--"):
            self._kept = self._kept.partition("=")[2]  # the option is not part of the value
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return the text with which bash replaces the word."""
        return escaped(str(item.value).removeprefix(self._kept), self._quote)


def open_quote(line: str) -> str:
    """Return the quote in which a line ends; empty if it ends in none."""
    quote = ""
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            next(characters, "")
        elif not quote:
            quote = character if character in _SPECIAL_IN else ""
        elif character == quote:
            quote = ""
    return quote


def escaped(text: str, quote: str) -> str:
    """Escape a text for bash, within a quote or outside of quotes."""
    if not quote:
        return _SPECIAL.sub(r"\\\g<0>", text)
    return _SPECIAL_IN[quote].sub(_ESCAPED_IN[quote], text)
