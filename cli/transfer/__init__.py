"""``rundlet import`` and ``rundlet export``.

``command`` has both commands; ``formats`` recognizes the format of a file, which
``functions.transfer`` reads and writes. ``loading`` checks a file; then ``sending`` sends its rows
to a server, ``storing`` stores them in an opened store, and ``textload`` lets the engine load a
key-value text file. ``exports`` and ``textlines`` write files. ``jsonlines`` reads the lines of
``mset`` and shows values as JSON.
"""
