"""Backups: hold a store as it is, copy it to a backup directory, and restore it from there.

On the side of a running store, ``leases`` holds the files of one revision by hard links, so that
compaction may go on meanwhile, and ``hashing`` verifies and hashes them once.
"""
