"""waitress: one process in pure Python.

``server`` runs it; ``channel`` closes connections on which a client stopped in the middle of a
request or an answer; ``errors`` gives waitress's own errors the form of the API's errors.
"""
