"""The bytes on disk. Every format is written down once, beside the code that encodes it.

``names`` of files; ``record`` (one write of one key), ``frame`` (one commit), ``segment`` (a
file of frames) and ``segment_writer`` (writes a segment of copies), ``manifest`` (which files make
up the store), ``commit_page`` (the page in memory that publishes a commit to all processes),
``commit_times`` and ``times_file`` (when each commit was made), ``locator`` (where a record is).
``stretches`` reads many frames at a time, ``pieces`` a large value piece by piece.
"""
