"""Repairing a damaged store: keep everything that is whole, and report every loss.

``run`` does the steps in order, ``log`` chooses the records, ``sources`` reads them wherever they
still are, ``known_versions`` asks index files what the log has lost, ``output`` writes the new log.
"""
