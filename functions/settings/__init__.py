"""The settings of a server: one table, and everything that is derived from it.

A row of the table is a field with its default: see ``rows``. The rows stand in ``connections``,
``feeds``, ``limits``, ``server`` and ``table``, whose ``SETTINGS`` lists them all. ``kinds`` says
how each kind of setting is read and shown. ``reading`` reads rows from options and environment
variables and hands them over; ``rules`` is what settings mean together.

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
