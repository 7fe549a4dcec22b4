"""Access tokens, kept as hashes.

``interface`` says what servers and the command line see of them, ``opening`` finds those of an
address. The first to keep them is a folder: ``file`` creates, lists and revokes them there,
``watch`` notices a change without reading the file, ``format`` has the bytes.
"""
