"""waitress: one process in pure Python.

``server`` runs it; ``sockets`` waits for events on all sockets; ``channel`` divides the bytes of a
connection into requests, and closes connections whose client stopped in the middle of a request or
an answer; ``parser`` finds the end of a request, from its ``head`` and, if it is chunked, its
``chunks``; ``errors`` answers requests that these reject, in the form of the API's errors.
"""
