"""Report to the operator of a process, and bound how often a report is repeated."""
