"""Where the data is: a server or a store that is opened here.

``options`` holds ``--url``, ``--data`` and ``--token`` and opens what they name; ``target`` is
what a command asks of either, ``store`` answers it out of a store; ``ask`` sends
plain requests.
"""
