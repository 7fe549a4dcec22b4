"""The command line ``rundlet``.

It begins in ``start``, which knows the version only; ``main`` has the options before the command.
``table`` names every command and its module, ``group`` imports that module when the command runs
and turns errors into one line, ``overview`` is what ``rundlet --help`` prints. ``exits`` says which
error leads to which exit code; ``process`` ends the process with it. ``arguments`` holds the
options that all commands share; ``parameters`` converts what is given to them.

The rooms: ``show`` prints values, tables and progress; ``place`` finds the server or the folder
that a command works on; ``commands`` holds the small commands by help group; ``serve``,
``transfer`` (import and export), ``doctor`` and ``bench`` hold the large ones, each with its
``command`` module.
"""
