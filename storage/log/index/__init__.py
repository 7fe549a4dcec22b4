"""Which keys there are, and where in the log their versions are.

``delta`` holds in memory the records that no index file covers yet. An index file is sorted,
immutable and mapped by all processes: ``file`` opens one, ``contents`` reads where its sections
are, ``columns`` is its content as arrays, ``writer`` makes one. ``lines`` reads both in blocks.
``retention`` decides which versions are kept, ``estimates`` how much of the log is live.
"""
