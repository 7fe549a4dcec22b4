"""Writing: from a batch of operations to acknowledged bytes.

``batch`` decides conditions, versions and expiry; ``group_commit`` gathers threads behind one
leader; ``writer`` appends, syncs and publishes; ``free_space`` keeps part of the disk in
reserve, ``unsynced_tail`` rewrites data that a failed sync may have lost, ``disk_probe`` asks a
disk that failed whether it takes writes again.
"""
