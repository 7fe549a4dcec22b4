"""The place of the data: a server, or a store opened in this process.

``options`` has ``--url``, ``--data`` and ``--token``, and opens the places that they name;
``target`` is the interface of both for commands, ``store`` implements it over a store; ``ask``
sends plain requests.
"""
