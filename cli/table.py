"""The table of commands: the name of each, its help group, its module, and one line of help.

``group`` reads the table, so that `rundlet` imports the module of a command only when that
command runs. A command module has a ``typer.Typer`` named ``commands``, with the command under its
name in the table. The first line of the command's docstring equals the line of help in the table; a
test checks that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple


class Panel:
    """The groups of ``rundlet --help``."""

    DATA: Final = "Data"
    TIME: Final = "Time"
    SERVER: Final = "Server"
    CARE: Final = "Care"


class Row(NamedTuple):
    """One command.

    Attributes:
        name: as it is typed.
        panel: its group in ``rundlet --help``.
        module: below ``rundlet_server.cli``.
        summary: one line of help, at most ``SUMMARY_CHARACTERS_MAX`` long.
    """

    name: str
    panel: str
    module: str
    summary: str


SUMMARY_CHARACTERS_MAX: Final = 25
"""Short enough for two commands beside each other in 80 columns."""

COMMANDS: Final = (
    Row("get", Panel.DATA, "commands.data", "Print a value."),
    Row("set", Panel.DATA, "commands.data", "Store a value."),
    Row("del", Panel.DATA, "commands.deleting", "Delete keys."),
    Row("incr", Panel.DATA, "commands.data", "Add to a number."),
    Row("exists", Panel.DATA, "commands.keys", "Test for keys."),
    Row("ttl", Panel.DATA, "commands.keys", "Print time left."),
    Row("touch", Panel.DATA, "commands.keys", "Set the TTL."),
    Row("cp", Panel.DATA, "commands.keys", "Copy a value."),
    Row("mv", Panel.DATA, "commands.keys", "Rename a key."),
    Row("edit", Panel.DATA, "commands.edit", "Edit a value."),
    Row("mset", Panel.DATA, "commands.many", "Store many values."),
    Row("mget", Panel.DATA, "commands.many", "Print many values."),
    Row("txn", Panel.DATA, "txn.command", "Do a transaction."),
    Row("ls", Panel.DATA, "commands.listing", "List keys."),
    Row("import", Panel.DATA, "transfer.command", "Load a file."),
    Row("export", Panel.DATA, "transfer.command", "Write a file."),
    Row("copy", Panel.DATA, "copy.command", "Copy to a store."),
    Row("shell", Panel.DATA, "shell.command", "Open a prompt."),
    Row("history", Panel.TIME, "commands.history", "List versions of a key."),
    Row("diff", Panel.TIME, "commands.history", "Compare two revisions."),
    Row("rollback", Panel.TIME, "commands.history", "Restore earlier values."),
    Row("watch", Panel.TIME, "commands.watch", "Follow changes."),
    Row("retention", Panel.TIME, "commands.history", "Show or set retention."),
    Row("erase", Panel.TIME, "commands.history", "Erase a key for good."),
    Row("serve", Panel.SERVER, "serve.command", "Run the server."),
    Row("demo", Panel.SERVER, "commands.demo", "Load sample data."),
    Row("ui", Panel.SERVER, "commands.ui", "Open the dashboard."),
    Row("stats", Panel.SERVER, "commands.care", "Print counts."),
    Row("token", Panel.SERVER, "commands.tokens", "Manage tokens."),
    Row("top", Panel.SERVER, "commands.top", "Watch the load."),
    Row("config", Panel.SERVER, "commands.config", "Print settings."),
    Row("context", Panel.SERVER, "commands.context", "Name places."),
    Row("bench", Panel.SERVER, "bench.command", "Measure speed."),
    Row("compact", Panel.CARE, "commands.care", "Reclaim space."),
    Row("backup", Panel.CARE, "backup.command", "Copy a store."),
    Row("restore", Panel.CARE, "backup.restoring", "Restore a backup."),
    Row("verify", Panel.CARE, "commands.care", "Find damage."),
    Row("repair", Panel.CARE, "commands.care", "Repair damage."),
    Row("doctor", Panel.CARE, "doctor.command", "Check health."),
)


def panels() -> Iterator[tuple[str, list[Row]]]:
    """Yield each help group with its commands, in the order of the table."""
    for panel in dict.fromkeys(row.panel for row in COMMANDS):
        yield panel, [row for row in COMMANDS if row.panel == panel]
