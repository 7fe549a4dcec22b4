"""What operators see.

``counting`` counts what a store is asked, ``measures`` and ``prometheus`` make metrics of it,
``processes`` tells the processes apart; ``logs`` writes lines of failed and slow requests,
``audit`` who did what; ``readiness`` says whether the server is ready.
"""
