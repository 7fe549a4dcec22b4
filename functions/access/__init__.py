"""Access control and routing.

``hosts`` rejects requests that name another site, ``cors`` admits web pages of allowed origins,
``admission`` authenticates and authorizes, ``routing`` finds the route of a request,
``idempotency`` recognizes a request that a caller repeats.
"""
