"""Engines of several nodes, and several servers on one engine.

Faults of nodes are marked ``cluster``: `make test-cluster` runs them, `make test` does not.
"""
