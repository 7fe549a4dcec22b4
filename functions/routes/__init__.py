"""The answers, one module per family of routes.

``values`` (one value), ``lists`` (keys in order), ``batches`` (mget and transactions),
``deletions`` (of selected keys), ``transfers`` (export and import), ``history`` (versions of one
key), ``diff``, ``rollback``, ``retention``, ``changes`` (the feed), ``backups``, ``tokens``,
``service`` (what the server says about itself), ``ready`` and ``metrics``. ``plain`` beside this
folder answers most requests of single values before Falcon does.
"""
