"""waitress: one process in pure Python.

``server`` runs it, ``channel`` closes connections of clients that stopped in the middle, ``errors``
makes its own errors look like those of the API.
"""
