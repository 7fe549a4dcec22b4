"""The engine. Handlers and the CLI import from here and from nowhere deeper.

``interface`` says what a store can do, ``errors`` how it fails; ``log`` is our own
append-only log store, ``textfile`` serves a key-value text file read-only.
"""
