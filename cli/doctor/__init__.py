"""``rundlet doctor``: what is wrong with a server or a folder, and what to do.

``command`` is the command; ``findings`` is what a check reports; ``folder``, ``databases``,
``machine`` and ``server`` hold the checks.
"""
