"""Requests, parsed strictly, and the bodies of answers.

``target`` (the raw request target and the key in it), ``query``, ``validators`` (ETags and
preconditions), ``ranges``, ``content_types``, ``uploads`` (the bytes of a value), ``bodies`` (JSON
or CBOR). ``decoding`` turns a body into one of the types in ``requests``; ``answers`` has the types
of answers, and ``cbor`` encodes long lists of them. ``sending`` bounds the memory of large
answers until clients have read them, ``places`` bounds the threads that send them, and ``gates``
groups these with the bound on bodies.
"""
