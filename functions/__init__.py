"""The HTTP API: stateless Falcon functions over a ``storage.Store``.

``app`` wires everything: there a request enters. ``settings`` says how a server runs;
``problems`` is every error answer; ``limits``, ``connections``, ``request_ids`` and ``version`` are
what the whole API shares.

The rooms: ``messages`` reads what a request says (target, query, headers, bodies); ``access``
decides who may do what; ``monitoring`` counts, logs and audits; ``routes`` answers, one module
per family of routes; ``openapi`` is the document that describes them.
"""
