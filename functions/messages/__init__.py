"""What a request says and an answer may say, read strictly.

``target`` (the raw request target and the key in it), ``query``, ``validators`` (ETags and
preconditions), ``ranges``, ``content_types``, ``bodies`` (JSON and CBOR) with their ``members``,
``operations`` of transactions, ``uploads`` (the bytes of a value).
"""
