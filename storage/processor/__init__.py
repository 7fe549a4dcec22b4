"""How this process shares the processors with others: ``turns``, of background work."""
