"""``rundlet import`` and ``rundlet export``.

``command`` holds both; ``formats`` tells the formats apart, which ``functions.transfer`` reads and
writes. ``loading`` checks a file; then ``sending`` sends its rows to a server, ``storing`` stores
them in an opened store, and ``textload`` lets the engine load a key-value text file. ``exports``
and ``textlines`` write. ``jsonlines`` reads the lines of ``mset`` and shows values as JSON.
"""
