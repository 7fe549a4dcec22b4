"""Counting what a server does, over all of its processes.

``measures`` names what is counted and timed; ``counters`` adds it up in memory that the processes
share; ``rows`` is the layout of that memory; ``heartbeat`` tells which processes still run.
"""
