"""``rundlet txn``: run a transaction from a file.

``reading`` parses both forms of the file, ``command`` runs the transaction.
"""
