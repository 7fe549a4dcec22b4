"""The answers, one module per family of routes.

``values`` (one value), ``plain_gets`` (most reads of one, before Falcon does), ``lists`` (keys in
order), ``batches`` (mget and transactions), ``history`` (versions of one key), ``retention``,
``service`` (what the server says about itself), ``ready`` and ``metrics``.
"""
