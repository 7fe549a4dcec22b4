"""Go on after a failover of the database.

``hosts`` finds the host that takes writes, ``lives`` notices that another one has taken over and
which revisions are lost, ``lifeline`` ends statements that will never be answered.
"""
