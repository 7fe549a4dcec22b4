"""The tests, in rooms.

``engine``, ``textfile``, ``http``, ``server``, ``client`` and ``cli`` test the part that they
are named after; ``faults`` holds the campaigns that inject faults, ``acceptance`` whole servers
under load and ``kill -9``, ``house`` the code and the documents themselves; ``support`` is what
they share.
"""
