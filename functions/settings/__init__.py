"""The settings of a server: one table, and everything that is derived from it.

A row of the table is a field with its default: see ``rows``. The rows are in ``connections``,
``feeds``, ``limits``, ``server``, ``writes`` and ``table``, whose ``SETTINGS`` lists them all.
``kinds`` defines how each kind of setting is read and shown. ``reading`` reads settings from
options and environment variables, and writes them as variables for other processes; ``rules`` has
the rules between settings.

Nothing here imports Falcon, numpy, Typer or a WSGI server: the help of the command line is made
from the table.
"""

from rundlet_server.functions.settings.connections import ConnectionLimits
from rundlet_server.functions.settings.feeds import FeedLimits
from rundlet_server.functions.settings.reading import SettingError
from rundlet_server.functions.settings.server import LogFormat, ServerSettings
from rundlet_server.functions.settings.table import SETTINGS, ServeOptions
from rundlet_server.storage.settings import SyncPolicy

__all__ = [
    "SETTINGS",
    "ConnectionLimits",
    "FeedLimits",
    "LogFormat",
    "ServeOptions",
    "ServerSettings",
    "SettingError",
    "SyncPolicy",
]
