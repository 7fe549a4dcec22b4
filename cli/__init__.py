"""The command line ``rundlet``: one module per help group, plus ``main`` which joins them.

``main`` holds the app, ``exits`` what ends a command and with which exit code; every other
module exposes ``commands``, a Typer app whose commands ``main`` joins into one.
"""
