"""The findings of ``rundlet doctor``: one line each, with advice."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from itertools import starmap
from textwrap import wrap
from typing import NamedTuple

from rundlet_server.cli.exits import ExitCode


class Level(enum.StrEnum):
    """How serious a finding is."""

    GOOD = "ok"
    WARNING = "warning"
    BAD = "error"


_TEXT_COLUMNS_MIN = 20
_SIGNS = {Level.GOOD: "✓", Level.WARNING: "!", Level.BAD: "✗"}


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        level: how serious it is.
        name: the check, in a word or two; it is the same in all releases.
        seen: the observation, one sentence.
        advice: what to do, if anything.
        code: the exit code for a bad finding.
    """

    level: Level
    name: str
    seen: str
    advice: str = ""
    code: ExitCode = ExitCode.DONE


def good(name: str, seen: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Level.GOOD, name, seen)


def warning(name: str, seen: str, advice: str) -> Finding:
    """Return a finding that something works, but has a fault or will fail soon."""
    return Finding(Level.WARNING, name, seen, advice)


def bad(name: str, seen: str, advice: str, code: ExitCode = ExitCode.UNREACHABLE) -> Finding:
    """Return a finding of something that does not work."""
    return Finding(Level.BAD, name, seen, advice, code)


def lines(findings: Sequence[Finding], columns: int | None = None) -> Iterator[str]:
    """Yield the lines for people, with a summary at the end.

    Args:
        findings: all of them.
        columns: the width of a terminal, to which long texts are wrapped.
    """
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        start = f"{_SIGNS[finding.level]} {finding.name:<{width}}  "
        yield from _hanging(start, finding.seen, columns)
        if finding.advice:
            yield from _hanging(f"  {'':<{width}}  → ", finding.advice, columns)
    errors = sum(finding.level is Level.BAD for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    counts = ((len(findings), "check"), (warnings, "warning"), (errors, "error"))
    yield ", ".join(starmap(_count, counts))


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """Return the exit code for all findings; damage takes precedence."""
    codes = {finding.code for finding in findings if finding.level is Level.BAD}
    return ExitCode.DAMAGED if ExitCode.DAMAGED in codes else max(codes, default=ExitCode.DONE)


def _hanging(start: str, text: str, columns: int | None) -> Iterator[str]:
    """Yield a text after ``start``, wrapped; further lines are indented by its width."""
    if columns is None:
        yield start + text
        return
    room = max(_TEXT_COLUMNS_MIN, columns - len(start))
    for line in wrap(text, room, break_on_hyphens=False, break_long_words=False):
        yield start + line
        start = " " * len(start)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
