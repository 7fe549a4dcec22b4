"""Where the data is: a server or a folder.

``options`` holds ``--url``, ``--data`` and ``--token`` and opens what they name; ``target`` is
what a command asks of either, ``folder`` answers it out of a store's folder; ``ask`` sends
plain requests.
"""
