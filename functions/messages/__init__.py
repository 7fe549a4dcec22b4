"""What a request says and an answer may say, read strictly.

``target`` (the raw request target and the key in it), ``query``, ``validators`` (ETags and
preconditions), ``ranges``, ``content_types``, ``uploads`` (the bytes of a value), ``bodies`` (JSON
or CBOR). ``decoding`` turns a body into one of the types in ``requests``; ``answers`` has the types
of answers, and ``cbor`` encodes long lists of them. ``sending`` bounds what large answers take
until clients have read them, and ``places`` the threads that send them; ``gates`` holds it together
with the bound on bodies.
"""
