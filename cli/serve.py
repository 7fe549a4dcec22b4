"""``rundlet serve``: the options of a server, read and handed to ``server``."""

from __future__ import annotations

import typer

from cli.panels import Panel

commands = typer.Typer()


@commands.command("serve", rich_help_panel=Panel.SERVER)
def serve() -> None:
    """Run the server, as in `rundlet serve example.data`."""
