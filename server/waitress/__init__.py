"""waitress: one process in pure Python.

``server`` runs it; ``sockets`` waits for events on all sockets; ``channel`` divides the bytes of a
connection into requests, and closes connections on which a client stopped in the middle of a
request or an answer; ``parser`` decides where a request ends, by its ``head`` and, if it is
chunked, its ``chunks``; ``errors`` gives the errors of these the form of the API's errors.
"""
