"""``rundlet doctor``: find faults of a server or a folder, and advise what to do.

``command`` is the command; ``findings`` has the results of checks; ``folder``, ``databases``,
``machine`` and ``server`` have the checks.
"""
