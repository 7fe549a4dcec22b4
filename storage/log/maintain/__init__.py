"""Background work on a store that is in use.

``maintainer`` decides what is due. ``checkpoint`` writes index files, ``compaction`` reclaims the
space of dead records and lets ``rewrite`` copy the live ones, ``horizon`` is the revision behind
which old versions may be dropped. ``chunk`` is a segment with its index, ``bulk_load`` adds such
segments. ``background`` is the thread for work that need not hold up a caller.
"""
