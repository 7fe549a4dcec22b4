"""Which keys there are, and where in the log their versions are.

``delta`` holds in memory what no index file covers yet. An index file is sorted, immutable and
mapped by all processes: ``file`` opens one, ``contents`` says what is where in it, ``columns`` is
its content as arrays, ``writer`` makes one. ``lines`` reads both in blocks. ``retention`` decides
which versions are kept, ``estimates`` what a store holds without counting.
"""
