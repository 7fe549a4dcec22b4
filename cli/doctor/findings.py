"""What ``rundlet doctor`` finds: one line each, with what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rundlet_server.cli.exits import ExitCode


class Level(enum.StrEnum):
    """How a finding is meant."""

    GOOD = "ok"
    WARNING = "warning"
    BAD = "error"


_SIGNS = {Level.GOOD: "✓", Level.WARNING: "!", Level.BAD: "✗"}


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        level: how it is.
        name: what was looked at, in a word or two; stays the same over releases.
        seen: what was seen, a sentence.
        advice: what to do, where something is to be done.
        code: the exit code it leads to, if it is bad.
    """

    level: Level
    name: str
    seen: str
    advice: str = ""
    code: ExitCode = ExitCode.DONE


def good(name: str, seen: str) -> Finding:
    """Nothing needs to be done."""
    return Finding(Level.GOOD, name, seen)


def warning(name: str, seen: str, advice: str) -> Finding:
    """It works, and might not for long, or not as wanted."""
    return Finding(Level.WARNING, name, seen, advice)


def bad(name: str, seen: str, advice: str, code: ExitCode = ExitCode.UNREACHABLE) -> Finding:
    """It does not work."""
    return Finding(Level.BAD, name, seen, advice, code)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings for people, with a summary."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        yield f"{_SIGNS[finding.level]} {finding.name:<{width}}  {finding.seen}"
        if finding.advice:
            yield f"  {'':<{width}}  → {finding.advice}"
    errors = sum(finding.level is Level.BAD for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    yield f"{len(findings)} checks, {_count(warnings, 'warning')}, {_count(errors, 'error')}"


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """Return the exit code that all findings lead to: that of damage before any other."""
    codes = {finding.code for finding in findings if finding.level is Level.BAD}
    return ExitCode.DAMAGED if ExitCode.DAMAGED in codes else max(codes, default=ExitCode.DONE)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
