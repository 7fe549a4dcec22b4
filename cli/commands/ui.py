"""The command that opens the dashboard, group *Server*: ui."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final

import typer

from rundlet import DEFAULT_URL
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.ask import DASHBOARD_PATH
from rundlet_server.cli.place.options import (
    DataOption,
    JsonOption,
    StoreOption,
    UrlOption,
    chosen_place,
    open_asking,
)
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import write_line

commands = typer.Typer()

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@commands.command("ui")
def ui(
    *,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open nothing.")
    ] = False,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the dashboard.

    In the browser, if there is a screen; prints its address in any case.

    Example: rundlet ui
    """
    named, address = chosen_place(url, data, store)
    if address is not None:
        message = (
            f"a dashboard needs a server; run rundlet serve on {address.shown}, then rundlet ui"
        )
        raise CommandError(message, ExitCode.USAGE)
    server = (named or DEFAULT_URL).rstrip("/")
    with open_asking(server, None) as asking:
        status = asking.get(DASHBOARD_PATH, with_token=False).status
    if status != 200:
        message = f"{server}{DASHBOARD_PATH} answered {status}: this server shows no dashboard"
        raise CommandError(message)
    shown = server + DASHBOARD_PATH
    write_line(to_line({"url": shown}) if as_json else shown)
    if not no_browser and not as_json and _has_screen():
        import webbrowser  # noqa: PLC0415 - rarely used

        if not webbrowser.open(shown):
            sys.stderr.write("No browser could be opened; the address is above.\n")


def _has_screen() -> bool:
    """Return whether a graphical browser can open; a browser in the terminal is not wanted."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(variable) for variable in _DISPLAYS)
