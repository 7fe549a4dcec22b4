"""The command line ``rundlet``.

``main`` joins the commands and turns errors into one line; ``exits`` says which error leads to
which exit code; ``arguments`` moves options that may stand anywhere to where they are read.

The rooms: ``show`` prints values, tables and progress; ``place`` finds the server or the folder
that a command works on; ``commands`` holds the small commands by help group; ``serve``,
``transfer`` (import and export), ``doctor`` and ``bench`` hold the large ones, each with its
``command`` module.
"""
