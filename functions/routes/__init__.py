"""The answers, one module per family of routes.

``values`` (one value), ``lists`` (keys in order), ``batches`` (mget and transactions), ``service``
(what the server says about itself), ``ready`` and ``metrics``.
"""
