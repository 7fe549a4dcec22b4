"""The HTTP API: stateless Falcon functions over a ``storage.Store``.

``app`` wires everything; every request enters there. ``problems`` makes all error answers;
``limits``, ``request_ids``, ``units`` and ``version`` are what the whole API shares.

The rooms: ``settings`` is the table of all settings of a server; ``messages`` reads
what a request says (target, query, headers, bodies); ``access`` authenticates and authorizes;
``monitoring`` counts, logs and audits; ``routes`` answers, one module per family of routes;
``openapi`` is the document that describes them.
"""
