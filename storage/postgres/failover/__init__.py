"""What a failover of the database asks for.

``hosts`` finds the host that takes writes, ``lives`` notices that another one has taken over and
what that lost, ``lifeline`` ends statements that will never be answered.
"""
