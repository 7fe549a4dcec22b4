"""One open place for many commands, which ``rundlet shell`` passes to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typer._click.globals import get_current_context

if TYPE_CHECKING:
    from rundlet_server.cli.place.target import Target


@dataclass(frozen=True, slots=True)
class Session:
    """The object of a command's context, within a shell."""

    target: Target


def current_session() -> Session | None:
    """Return the session that the running command is part of."""
    ctx = get_current_context(silent=True)
    return None if ctx is None else ctx.find_object(Session)
