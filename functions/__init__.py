"""The HTTP API: stateless Falcon functions over a ``storage.Store``.

``app`` wires everything: there a request enters. ``problems`` makes every error answer; ``limits``,
``request_ids``, ``units`` and ``version`` are what the whole API shares.

The rooms: ``settings`` is the table of everything that a server can be told; ``messages`` reads
what a request says (target, query, headers, bodies); ``access`` decides who may do what;
``monitoring`` counts, logs and audits; ``routes`` answers, one module per family of routes;
``openapi`` is the document that describes them.
"""
