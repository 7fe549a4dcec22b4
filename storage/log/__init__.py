"""Our own append-only log store, in the Bitcask family.

The rooms, in reading order; each imports only from those before it:

* ``format``: the bytes on disk.
* ``index``: which keys there are, and where their versions stand in the log.
* ``read``: one consistent view of log and index.
* ``open``: put in order what a crash left.
* ``write``: from a batch of operations to acknowledged bytes.
* ``check``: find damage, change nothing.
* ``maintain``: checkpoints, compaction, bulk loads.
* ``repair``: keep what is whole of a damaged store.
* ``health``: why a store is not ready.

``store`` joins them behind the ``Store`` interface, ``maintenance`` is the process that runs
``maintain`` for a whole server, ``settings`` says how a store runs.
"""
