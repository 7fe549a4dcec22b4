"""The engine. Handlers and the CLI need nothing deeper than the first level of this package.

``address`` is where a store is and ``opening`` opens it; ``interface`` says what it can do,
``errors`` how it fails, ``settings`` how it runs. ``metadata`` is kept with values, of which
``large_values`` are read in pieces. ``care`` finds and repairs damage. ``log`` is our own
append-only log store, ``textfile`` serves a key-value text file read-only, ``etcd`` and
``postgres`` keep a store in another system, ``tokens`` says who may use a server, ``counting``
counts over its processes.

Nothing is imported here: a command that talks to a server needs the errors and addresses, but not
the engine with numpy, which takes as long to load as all the rest.
"""
