"""Access tokens, kept as hashes.

``interface`` is what servers and the command line see of them, ``opening`` finds the tokens of an
address. A folder keeps tokens in a file: ``file`` creates, lists and revokes them there, ``watch``
notices a change without reading the file, ``format`` defines the bytes. A store in etcd or in
PostgreSQL keeps them there: ``etcd``, ``postgres``. What all places share is in ``making``.
"""
