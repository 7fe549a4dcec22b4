"""Compare Rundlet on an engine with the engine used directly, in the same run.

``engines`` starts etcd and PostgreSQL and fills stores in them, ``systems`` puts servers on them.
"""
