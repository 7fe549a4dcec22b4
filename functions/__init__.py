"""The HTTP API: stateless Falcon functions over a ``storage.Store``.

``app`` makes the application from its parts. ``problems`` makes all error answers; all routes use
``limits``, ``request_ids``, ``units`` and ``version``. ``route_table`` lists the routes,
``serving`` is the interface to the server, ``waits`` lets requests wait.

The packages: ``settings`` is the table of all settings of a server; ``messages`` reads requests
(target, query, headers, bodies); ``access`` authenticates and authorizes; ``monitoring`` counts,
logs and audits; ``routes`` answers, one module per family of routes; ``plain`` answers the most
frequent requests without Falcon; ``feeds`` lets requests wait for commits; ``transfer`` reads and
writes exports; ``openapi`` makes the document that describes the routes; ``ui`` is the dashboard.
"""
