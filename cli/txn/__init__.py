"""``rundlet txn``: a transaction out of a file.

``reading`` understands both forms of the file, ``command`` does what it says.
"""
