"""Repairing a damaged store: all that is whole is kept, every loss is reported.

``run`` is the order of things, ``log`` chooses the records, ``sources`` reads them wherever
they still are, ``known_versions`` asks index files what the log has lost, ``output`` writes the
new log.
"""
