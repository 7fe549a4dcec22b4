"""Our own append-only log store, in the Bitcask family.

Its parts, in reading order; each imports only from those before it:

* ``format``: the bytes on disk.
* ``place``: whether the path of the folder still leads to the open store.
* ``index``: which keys there are, and where their versions are in the log.
* ``read``: one consistent view of log and index.
* ``open``: recover what a crash left, and lock the folder.
* ``write``: from a batch of operations to acknowledged bytes.
* ``waiting``: sleep until any process commits.
* ``feed``: all commits, in order.
* ``check``: find damage and change nothing.
* ``maintain``: checkpoints, compaction, expiry, bulk loads.
* ``repair``: keep what is whole of a damaged store.
* ``backup``: hold, copy and restore a store.
* ``health``: why a store is not ready.

``wiring`` joins the parts, ``housekeeping`` is the thread of an open store, ``reads`` answers
reads, ``timeline`` reads the past, ``holds`` keeps an old revision readable, and ``store`` offers
all of it as a ``Store``. ``maintenance`` is the process that runs ``maintain`` for a whole server.
"""
