"""Metrics, logs, the audit trail and readiness, for operators.

``counting`` counts the operations on a store; ``measures`` times requests; ``prometheus`` formats
metrics; ``processes`` reads the memory and descriptors of the server's processes; ``logs`` writes
a line for each failed or slow request; ``audit`` records who changed what; ``readiness`` decides
whether the server is ready.
"""
