"""Reading: one consistent view of the log and its index.

``follower`` keeps this process in step with the log, ``view`` finds a key, ``scan`` finds many in
order, ``pages`` makes plain pages of them in blocks, ``answers`` turns records into the types of
the interface, ``statistics`` counts without reading, ``expired`` counts what has expired.
``entry_cache`` keeps values that were read, ``disposal`` frees large dicts a little at a time,
``clock`` is the time that all processes of a store agree on.
"""
