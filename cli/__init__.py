"""The command line ``rundlet``.

It begins in ``start``, which answers only ``--version``; ``main`` has the options before the
command. ``table`` names every command and its module, ``group`` imports that module when the
command runs and turns errors into one line, ``overview`` prints ``rundlet --help``. ``exits`` maps
errors to exit codes; ``process`` ends the process with the exit code. ``arguments`` has the options
that all commands share; ``parameters`` converts the values of parameters.

The packages: ``show`` prints values, tables and progress; ``place`` finds the server or the folder
that a command works on; ``commands`` holds the small commands by help group; ``serve``, ``backup``,
``bench``, ``copy``, ``doctor``, ``shell``, ``transfer`` (import and export) and ``txn`` hold the
large ones, each with its ``command`` module.
"""
