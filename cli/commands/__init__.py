"""The small commands, one module per help group.

``data`` (one key), ``many`` (many keys), ``care`` (compact, verify, repair), ``tokens``, ``top``
and ``config``. Each has a ``typer.Typer`` named ``commands``, which ``main`` joins.
"""
