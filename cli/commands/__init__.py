"""The small commands, a few to a module.

``data`` (one key), ``many`` (many keys), ``demo``, ``care`` (compact, verify, repair), ``tokens``,
``top`` and ``config``. Each has a ``typer.Typer`` named ``commands``; ``group`` finds them in it.
"""
