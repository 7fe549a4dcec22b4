"""Our own append-only log store, in the Bitcask family.

In reading order. What is on disk: ``record`` (one write of one key), ``frame`` (one commit),
``segment`` (a file of frames), ``manifest`` (which files make up the store), ``index_file``
(sorted, immutable, mapped by all; made of ``index_columns`` by ``index_writer``), ``shared``
(the page that publishes).

Reading: ``locator``, ``delta``, ``entry_cache``, ``view``, ``follower``, ``scan``,
``reading``. Writing: ``batch`` decides, ``writer`` writes, ``group_commit`` shares a write among
threads, ``folder_lock`` lets one process write at a time, ``room`` keeps some of the disk free.
Many rows at once: ``chunk`` is a segment with its index, ``bulk_load`` puts it in force.
Opening: ``recovery``.

In the background: ``retention``, ``checkpoint``, ``compaction`` which lets ``rewrite`` copy,
``leftovers``, gathered by ``maintainer`` and run by the process ``maintenance``. ``store`` ties
it all to the interface.

Damage: ``verify`` reads everything and changes nothing (``snapshot`` opens the files, ``rebuild``
and ``index_check`` compare index and log); ``repair`` keeps what is whole (``repair_log`` out of
``repair_sources`` and ``repair_index`` to ``repair_output``). Both read over gaps with ``salvage``.
"""
